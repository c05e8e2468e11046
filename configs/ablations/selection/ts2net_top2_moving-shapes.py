# Two selected patches per frame, not three.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(neck=dict(topk=2))
