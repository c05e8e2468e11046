# The first 12 seconds of a video (slice_framepos 0 of the released code).
_base_ = '../../ts2net_msrvtt.py'

opening, sampling, *rest = _base_.video_pipeline
pipeline = [opening, dict(sampling, position='head'), *rest]

train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline=pipeline))
