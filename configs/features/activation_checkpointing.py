# Recompute the activations of each block in the backward pass: less memory, more time.
_base_ = '../ts2net_msrvtt.py'

model = dict(
    backbone=dict(with_cp=True),
    text_encoder=dict(with_cp=True),
    head=dict(temporal=dict(with_cp=True)),
)
