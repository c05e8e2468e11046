# Frames over the whole video, at a fixed rate and without the random shifts of UniformSample.
_base_ = '../../ts2net_moving-shapes.py'

sampling = dict(
    type='SampleFramesByRate', num_frames=_base_.num_frames, frame_rate=6, position='uniform'
)
pipeline = [dict(type='VideoInit'), sampling, *_base_.decode_and_pack]

train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline=pipeline))
