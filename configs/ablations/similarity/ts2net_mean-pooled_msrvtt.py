# The mean of the frames instead of weights that depend on the sentence.
_base_ = '../../ts2net_msrvtt.py'

model = dict(head=dict(similarity=dict(type='MeanPooledSimilarity')))
