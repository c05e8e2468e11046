# Reproduces the released scores of videos shorter than the frame limit, including three mistakes:
# padding leaks into the shift, and the masks of temporal transformer and similarity are tiled.
_base_ = '../ts2net_msrvtt.py'

model = dict(
    backbone=dict(mask_aware_shift=False),
    head=dict(
        temporal=dict(mask_order='tiled'),
        similarity=dict(type='FrameWeightedSimilarity', mask_order='tiled', tokens_per_frame=4),
    ),
)
