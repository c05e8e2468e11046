# Frame weights with a temperature of 2 instead of 4: nearer to the mean.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(head=dict(similarity=dict(type='FrameWeightedSimilarity', temperature=2.0)))
