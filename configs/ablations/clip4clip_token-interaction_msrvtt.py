# DRL's interaction (https://arxiv.org/abs/2203.07111) in seqTransf: every word meets every frame.
_base_ = './clip4clip_seqtransf_msrvtt.py'

model = dict(
    text_encoder=dict(output='words'),
    head=dict(
        similarity=dict(type='TokenInteraction'),
        token_weights=dict(type='TokenWeights', embed_dims=512),
    ),
)
