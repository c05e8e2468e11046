# A temporal transformer of 2 blocks, as in the base config.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(head=dict(temporal=dict(num_layers=2)))
