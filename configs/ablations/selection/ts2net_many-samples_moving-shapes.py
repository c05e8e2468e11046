# More samples of the noise: 400, not 100.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(neck=dict(num_samples=400))
