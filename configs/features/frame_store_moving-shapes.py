# The quickstart's training, with frames out of a store instead of decoding. Before the training:
# python tools/data/store_frames.py configs/features/frame_store_moving-shapes.py \
#     --out data/moving_shapes/frames --format bmp
_base_ = '../ts2net_moving-shapes.py'

opening, sampling, decoding, *rest = _base_.train_pipeline
_, test_sampling, *_ = _base_.test_pipeline
store = dict(
    type='FrameStoreInit',
    db_path=_base_.data_root + 'frames',
    decoding=[opening, decoding],
)
train_pipeline = [store, sampling, dict(type='FrameStoreDecode'), *rest]
test_pipeline = [store, test_sampling, dict(type='FrameStoreDecode'), *rest]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
