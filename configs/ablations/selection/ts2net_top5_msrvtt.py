# Five selected patches per frame, not three: 12 x (1 + 5) = 72 tokens, within the 77 positions.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(topk=5))
