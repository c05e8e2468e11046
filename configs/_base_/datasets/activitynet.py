_base_ = './text-video_64x64.py'

data_root = 'data/activitynet/'
data_prefix = dict(video='videos')

train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='train.json', data_prefix=data_prefix)
)
# val_1, on which everyone tests; no other validation videos are left
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='test.json', data_prefix=data_prefix)
)
test_dataloader = val_dataloader
