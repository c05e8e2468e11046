# [CLS] and the first three patches, the left of the top row.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(_delete_=True, type='FixedSelection', rule='first', topk=3))
