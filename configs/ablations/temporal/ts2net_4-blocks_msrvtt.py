# A temporal transformer of 4 blocks, as in the base config.
_base_ = '../../ts2net_msrvtt.py'

model = dict(head=dict(temporal=dict(num_layers=4)))
