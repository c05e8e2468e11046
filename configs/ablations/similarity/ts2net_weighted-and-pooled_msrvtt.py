# The mean of the frame-weighted and the mean-pooled similarity, which the released code has
# switched off.
_base_ = '../../ts2net_msrvtt.py'

weighted, pooled = dict(type='FrameWeightedSimilarity'), dict(type='MeanPooledSimilarity')
model = dict(
    head=dict(similarity=dict(type='AverageSimilarity', similarities=[weighted, pooled])),
)
