# Tokens shift only back: none takes its value from the previous frame.
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(forward_offset=None))
