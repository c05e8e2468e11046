# Frames from a store instead of decoding. Before training:
# python tools/data/store_frames.py configs/features/frame_store.py --out data/msrvtt/frames
_base_ = '../ts2net_msrvtt.py'

opening, sampling, decoding, *rest = _base_.video_pipeline
store = dict(type='FrameStoreInit', db_path='data/msrvtt/frames', decoding=[opening, decoding])
video_pipeline = [store, sampling, dict(type='FrameStoreDecode'), *rest]

train_dataloader = dict(dataset=dict(pipeline=video_pipeline))
val_dataloader = dict(dataset=dict(pipeline=video_pipeline))
test_dataloader = dict(dataset=dict(pipeline=video_pipeline))
