# A temporal transformer of 1 block, not 2.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(head=dict(temporal=dict(num_layers=1)))
