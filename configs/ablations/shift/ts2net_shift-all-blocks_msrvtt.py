# Tokens shift in every block.
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(shift_layers=tuple(range(12))))
