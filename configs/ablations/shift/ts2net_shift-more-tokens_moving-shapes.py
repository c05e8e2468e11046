# Of the 9 patches 3 shift in each direction, not 2.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(num_shift_tokens=3, backward_offset=2))
