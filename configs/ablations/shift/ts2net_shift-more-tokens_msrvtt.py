# Of the 49 patches 13 shift forward and 12 back, not 7 and 7.
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(num_shift_tokens=12, backward_offset=3))
