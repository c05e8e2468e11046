# The quickstart's training, with frames out of a store; tools/quickstart.sh makes it before:
# store_frames.py configs/features/frame_store_moving-shapes.py --out data/moving_shapes/frames --format bmp
_base_ = '../ts2net_moving-shapes.py'

opening, sampling, decoding, *rest = _base_.train_pipeline
store = dict(type='FrameStoreInit', db_path='data/moving_shapes/frames', decoding=[opening, decoding])
stored_frames = dict(type='FrameStoreDecode')
test_pipeline = [store, _base_.test_pipeline[1], stored_frames, *rest]

train_dataloader = dict(dataset=dict(pipeline=[store, sampling, stored_frames, *rest]))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
