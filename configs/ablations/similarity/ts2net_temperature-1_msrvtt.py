# Frame weights with a temperature of 1 instead of 4: nearer to the mean.
_base_ = '../../ts2net_msrvtt.py'

model = dict(head=dict(similarity=dict(type='FrameWeightedSimilarity', temperature=1.0)))
