# All patches of a frame come from the previous frame; [CLS] stays.
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(num_shift_tokens=50, backward_offset=None))
