# Of the 49 patches 5 shift forward and 4 back, not 7 and 7.
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(num_shift_tokens=4))
