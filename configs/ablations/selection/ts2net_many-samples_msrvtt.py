# More samples of the noise: 2000, not 500.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(num_samples=2000))
