# The temporal transformer starts from random weights, not from CLIP's text encoder.
_base_ = '../../ts2net_msrvtt.py'

model = dict(head=dict(temporal=dict(start_from_clip=False)))
