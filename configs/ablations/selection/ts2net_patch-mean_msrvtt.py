# [CLS] and the mean of all patches.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(_delete_=True, type='PatchMean'))
