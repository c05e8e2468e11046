# The temporal transformer replaces its input instead of adding to it.
_base_ = '../../ts2net_msrvtt.py'

model = dict(head=dict(temporal=dict(residual=False)))
