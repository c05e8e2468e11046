# As many tokens shift, but other ones: 3 and 8 forward, 2 and 7 back.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(forward_offset=3, backward_offset=2))
