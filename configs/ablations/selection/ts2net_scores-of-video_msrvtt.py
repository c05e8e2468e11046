# Scores from the patch and the mean [CLS] of the video, not of its frame.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(context='video'))
