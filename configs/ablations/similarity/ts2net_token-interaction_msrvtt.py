# Every word meets every frame: DRL's weighted token-wise interaction (arXiv 2203.07111).
_base_ = '../../ts2net_msrvtt.py'

model = dict(
    text_encoder=dict(output='words'),
    head=dict(
        similarity=dict(type='TokenInteraction'),
        token_weights=dict(type='TokenWeights', embed_dims=512),
    ),
)
