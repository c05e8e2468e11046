# No token selection: only the [CLS] of each frame reaches the temporal transformer.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(neck=dict(_delete_=True, type='CLSOnly'))
