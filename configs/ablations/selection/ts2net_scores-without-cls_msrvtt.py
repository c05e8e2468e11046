# Scores from the patch alone, without [CLS].
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(context='none'))
