# Fewer samples of the noise: 50, not 500.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(num_samples=50))
