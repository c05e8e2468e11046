_base_ = './ts2net_msrvtt.py'

model = dict(backbone=dict(patch_size=16))
