# No temporal transformer: each frame is the mean of its [CLS] and its selected patches.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(head=dict(temporal=dict(_delete_=True, type='TokenMean')))
