# Moving textures: a sentence says how dots move, and no frame alone shows it. A dot moves by half a
# patch or a whole one between two frames, which are successive frames of the video.
_base_ = './ts2net_moving-shapes.py'

data_root = 'data/moving_textures/'
num_frames = 4
max_words = 32
patch_size = 8  # of frames of 48 x 48

model = dict(
    backbone=dict(patch_size=patch_size, num_shift_tokens=7),
    text_encoder=dict(context_length=max_words),
)

opening, _, decoding, *_, packing = _base_.train_pipeline
sampling = dict(type='SampleFrames', clip_len=num_frames, frame_interval=1, num_clips=1)
rest = [
    decoding,
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='TokenizeCaptions', max_words=max_words),
    packing,
]
train_pipeline = [opening, sampling, *rest]
test_pipeline = [opening, dict(sampling, test_mode=True), *rest]

train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
