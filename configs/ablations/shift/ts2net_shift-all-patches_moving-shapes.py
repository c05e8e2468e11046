# All patches shift, every other forward and the rest back; [CLS] stays.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(num_shift_tokens=5, backward_offset=2))
