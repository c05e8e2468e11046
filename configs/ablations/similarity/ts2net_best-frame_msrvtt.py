# The cosine of the frame that fits the sentence best.
_base_ = '../../ts2net_msrvtt.py'

model = dict(head=dict(similarity=dict(type='BestFrameSimilarity')))
