# CLIP4Clip's seqTransf: meanP with the temporal transformer before the mean.
_base_ = '../ts2net_msrvtt.py'

model = dict(
    backbone=dict(shift_layers=()),
    neck=dict(_delete_=True, type='CLSOnly'),
    head=dict(similarity=dict(type='MeanPooledSimilarity')),
)
