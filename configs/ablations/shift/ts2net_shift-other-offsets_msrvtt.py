# As many tokens shift, but other ones: 3, 10, 17, ... forward and 6, 13, 20, ... back.
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(forward_offset=3, backward_offset=6))
