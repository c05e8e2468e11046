# Tokens shift only forward: none takes its value from the next frame.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(backward_offset=None))
