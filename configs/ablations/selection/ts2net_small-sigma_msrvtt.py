# Less noise on the scores: sigma 0.01, not 0.05.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(sigma=0.01))
