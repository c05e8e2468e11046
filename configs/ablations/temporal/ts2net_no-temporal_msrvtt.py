# No temporal module: each frame is its [CLS], so that no patch is selected either.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(_delete_=True, type='CLSOnly'), head=dict(temporal=None))
