# Tokens shift in the last block alone.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(shift_layers=(-1,)))
