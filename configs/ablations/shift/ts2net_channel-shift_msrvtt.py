# A quarter of the channels of all tokens shifts, half of it in each direction (TSM).
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(shift=dict(type='ChannelShift', fraction=1 / 8)))
