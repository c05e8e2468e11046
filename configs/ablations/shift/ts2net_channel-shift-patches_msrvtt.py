# A quarter of the channels of the patches shifts; [CLS] stays.
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(shift=dict(type='ChannelShift', fraction=1 / 8, tokens='patches')))
