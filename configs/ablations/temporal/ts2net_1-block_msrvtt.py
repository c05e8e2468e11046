# A temporal transformer of 1 block, not 4.
_base_ = '../../ts2net_msrvtt.py'

model = dict(head=dict(temporal=dict(num_layers=1)))
