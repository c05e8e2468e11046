# TS2-Net on CLIP ViT-B/32. A neck and a head follow the ViT; all sizes are arguments of the parts.
model = dict(
    type='TS2Net',
    # a name of an OpenAI model, downloaded once, or a file of any format: docs/weights.md
    init_cfg=dict(type='CLIPPretrained', checkpoint='ViT-B/32'),
    backbone=dict(
        type='TokenShiftViT',
        embed_dims=768,
        num_layers=12,
        num_heads=12,
        img_size=224,
        patch_size=32,
        out_dims=512,
        shift_layers=(10, 11),
        frozen_stages=0,  # embeddings and first LayerNorm
    ),
    text_encoder=dict(
        type='CLIPTextEncoder',
        width=512,
        num_layers=12,
        num_heads=8,
        out_dims=512,
        frozen_stages=0,  # token and position embeddings
    ),
    neck=dict(type='TokenSelection', embed_dims=512, topk=3),
    head=dict(
        type='RetrievalHead',
        # as the gather of the released code scales the gradients of its 8 processes
        loss=dict(type='SymmetricContrastiveLoss', gradient_scale=1 / 8),
        temporal=dict(
            type='TemporalTransformer',
            embed_dims=512,
            num_layers=4,
            num_heads=8,
            num_positions=77,
        ),
    ),
)
