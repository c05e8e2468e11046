# val.json exists if tools/data/prepare.py vatex was given a list of the validation videos.
_base_ = './text-video_12x32.py'

data_root = 'data/vatex/'
data_prefix = dict(video='videos')

train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='train.json', data_prefix=data_prefix)
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='val.json', data_prefix=data_prefix)
)
test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='test.json', data_prefix=data_prefix)
)
