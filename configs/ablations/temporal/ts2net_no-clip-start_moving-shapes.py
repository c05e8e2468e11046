# The temporal transformer starts from random weights also where init_cfg loads a CLIP; the
# quickstart itself loads none.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(head=dict(temporal=dict(start_from_clip=False)))
