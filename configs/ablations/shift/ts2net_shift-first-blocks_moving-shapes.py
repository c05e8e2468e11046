# Tokens shift in the first two blocks, not in the last two.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(shift_layers=(0, 1)))
