# Frames over the whole video, at a fixed rate (slice_framepos 2 of the released code), as in
# the base config.
_base_ = '../../ts2net_msrvtt.py'

opening, sampling, *rest = _base_.video_pipeline
pipeline = [opening, dict(sampling, position='uniform'), *rest]

train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline=pipeline))
