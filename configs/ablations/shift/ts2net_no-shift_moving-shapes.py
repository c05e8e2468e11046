# No token shift: the ViT sees each frame separately.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(shift_layers=()))
