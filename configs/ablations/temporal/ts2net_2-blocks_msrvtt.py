# A temporal transformer of 2 blocks, not 4.
_base_ = '../../ts2net_msrvtt.py'

model = dict(head=dict(temporal=dict(num_layers=2)))
