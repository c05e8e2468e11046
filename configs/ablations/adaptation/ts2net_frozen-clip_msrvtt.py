# CLIP is frozen; selection, temporal transformer and logit scale are trained.
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(frozen=True), text_encoder=dict(frozen=True))
