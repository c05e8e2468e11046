# Selection without noise at test, not with fixed noise; training is that of the base model.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(test_mode='hard'))
