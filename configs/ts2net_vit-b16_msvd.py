_base_ = './ts2net_msvd.py'

model = dict(init_cfg=dict(checkpoint='ViT-B/16'), backbone=dict(patch_size=16))
