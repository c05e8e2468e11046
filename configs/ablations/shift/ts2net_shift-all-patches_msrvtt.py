# All patches shift, every other forward and the rest back; [CLS] stays.
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(num_shift_tokens=25, backward_offset=2))
