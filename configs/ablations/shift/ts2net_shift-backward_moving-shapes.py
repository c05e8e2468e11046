# Tokens shift only back: none takes its value from the previous frame.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(forward_offset=None))
