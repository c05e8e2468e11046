# Temporal positions of frames: the tokens of a frame share one.
_base_ = '../../ts2net_msrvtt.py'

model = dict(head=dict(temporal=dict(positions='frame')))
