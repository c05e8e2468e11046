# One selected patch per frame, not three.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(topk=1))
