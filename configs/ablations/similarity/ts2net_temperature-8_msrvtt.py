# Frame weights with a temperature of 8 instead of 4: nearer to the best frame.
_base_ = '../../ts2net_msrvtt.py'

model = dict(head=dict(similarity=dict(type='FrameWeightedSimilarity', temperature=8.0)))
