# Moving textures: a sentence says how dots move, and no frame alone shows it. Between two frames,
# which are successive ones of the video, a dot moves by half a patch or a whole one.
_base_ = './ts2net_moving-shapes.py'

data_root = 'data/moving_textures/'
num_frames = 4
max_words = 32
patch_size = 8  # of frames of 48 x 48

model = dict(
    backbone=dict(patch_size=patch_size, num_shift_tokens=7),
    text_encoder=dict(context_length=max_words),
    head=dict(temporal=dict(num_positions=num_frames * (1 + _base_.topk))),
)

opening, _, decoding, resizing, cropping, shaping, _, packing = _base_.train_pipeline
sampling = dict(type='SampleFrames', clip_len=num_frames, frame_interval=1, num_clips=1)
tokenizing = dict(type='TokenizeCaptions', max_words=max_words)
rest = [decoding, resizing, cropping, shaping, tokenizing, packing]
train_pipeline = [opening, sampling, *rest]
test_pipeline = [opening, dict(sampling, test_mode=True), *rest]

train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
