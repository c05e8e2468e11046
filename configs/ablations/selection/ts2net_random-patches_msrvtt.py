# [CLS] and three patches at random.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(_delete_=True, type='FixedSelection', rule='random', topk=3))
