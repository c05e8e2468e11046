# The quickstart's training with frames from a store, which tools/quickstart.sh makes.
_base_ = '../ts2net_moving-shapes.py'

opening, sampling, decoding, *rest = _base_.train_pipeline
store = dict(
    type='FrameStoreInit', db_path='data/moving_shapes/frames', decoding=[opening, decoding]
)
stored = dict(type='FrameStoreDecode')
test_dataset = dict(pipeline=[store, _base_.test_pipeline[1], stored, *rest])

train_dataloader = dict(dataset=dict(pipeline=[store, sampling, stored, *rest]))
val_dataloader = test_dataloader = dict(dataset=test_dataset)
