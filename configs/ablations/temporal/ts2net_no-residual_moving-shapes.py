# The temporal transformer replaces its input instead of adding to it.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(head=dict(temporal=dict(residual=False)))
