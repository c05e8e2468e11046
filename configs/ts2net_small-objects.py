# Small objects: a sentence names a shape of one or two patches among large ones and clutter.
_base_ = './ts2net_moving-shapes.py'

data_root = 'data/small_objects/'
patch_size = 8  # of frames of 48 x 48

model = dict(backbone=dict(patch_size=patch_size, num_shift_tokens=7))

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = test_dataloader = dict(dataset=dict(data_root=data_root))
