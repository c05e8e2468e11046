# The encoders are frozen, which asks for weights: --cfg-options load_from=CHECKPOINT.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(frozen=True), text_encoder=dict(frozen=True))
