_base_ = './text-video_12x32.py'

data_root = 'data/msrvtt/'
data_prefix = dict(video='videos')

train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='train_9k.json', data_prefix=data_prefix)
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='test_1ka.json', data_prefix=data_prefix)
)
test_dataloader = val_dataloader
