# Tokens shift in every block.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(shift_layers=(0, 1, 2)))
