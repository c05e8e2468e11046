# Of the 9 patches 1 shifts in each direction, not 2.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(num_shift_tokens=1))
