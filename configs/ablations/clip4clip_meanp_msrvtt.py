# CLIP4Clip's meanP (https://arxiv.org/abs/2104.08860): the mean of the frames' [CLS].
_base_ = '../ts2net_msrvtt.py'

model = dict(
    backbone=dict(shift_layers=()),
    neck=dict(_delete_=True, type='CLSOnly'),
    head=dict(temporal=None, similarity=dict(type='MeanPooledSimilarity')),
)
