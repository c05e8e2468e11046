_base_ = './text-video_64x64.py'

data_root = 'data/activitynet/'
data_prefix = dict(video='videos')

train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='train.json', data_prefix=data_prefix)
)
# val_1, the usual test split; no validation videos remain
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='test.json', data_prefix=data_prefix)
)
test_dataloader = val_dataloader
