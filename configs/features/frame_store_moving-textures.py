# Training on moving textures with frames from a store, made by
# python tools/data/store_frames.py configs/features/frame_store_moving-textures.py \
#     --out data/moving_textures/frames --format bmp
_base_ = '../ts2net_moving-textures.py'

opening, sampling, decoding, *rest = _base_.train_pipeline
store = dict(
    type='FrameStoreInit', db_path='data/moving_textures/frames', decoding=[opening, decoding]
)
stored = dict(type='FrameStoreDecode')
test_dataset = dict(pipeline=[store, _base_.test_pipeline[1], stored, *rest])

train_dataloader = dict(dataset=dict(pipeline=[store, sampling, stored, *rest]))
val_dataloader = test_dataloader = dict(dataset=test_dataset)
