# Selection without noise, trained with the straight-through gradient, not the perturbed one.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(train_mode='straight_through', test_mode='hard'))
