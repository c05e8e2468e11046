# Less noise on the scores: sigma 0.01, not 0.05.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(neck=dict(sigma=0.01))
