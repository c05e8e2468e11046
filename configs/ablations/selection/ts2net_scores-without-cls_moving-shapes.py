# Scores from the patch alone, without [CLS].
_base_ = '../../ts2net_moving-shapes.py'

model = dict(neck=dict(context='none'))
