# The cosine of the frame that fits the sentence best.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(head=dict(similarity=dict(type='BestFrameSimilarity')))
