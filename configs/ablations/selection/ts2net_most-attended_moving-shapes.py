# [CLS] and the three patches to which it attends most in the last block; nothing is learned.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(neck=dict(_delete_=True, type='FixedSelection', rule='attention', topk=3))
