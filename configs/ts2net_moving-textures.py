# Moving textures: a sentence says in which direction dots move, and no frame alone shows it. Videos
# are drawn in the loader, so that none is seen more than a few times.
_base_ = './ts2net_moving-shapes.py'

num_frames = 4  # successive ones: from each to the next, a dot moves by a patch
max_words = 24
patch_size = 12  # of frames of 48 x 48
rendered = dict(name='moving_textures')
num_train_videos = 25600

model = dict(
    backbone=dict(patch_size=patch_size, num_shift_tokens=3),
    text_encoder=dict(context_length=max_words),
    head=dict(temporal=dict(num_positions=num_frames * (1 + _base_.topk))),
)

_, _, decoding, _, _, shaping, _, packing = _base_.train_pipeline
drawing = dict(type='DrawVideo')
sampling = dict(type='SampleFrames', clip_len=num_frames, frame_interval=1, num_clips=1)
tokenizing = dict(type='TokenizeCaptions', max_words=max_words)
rest = [decoding, shaping, tokenizing, packing]
test_pipeline = [drawing, dict(sampling, test_mode=True), *rest]

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RenderedVideoDataset',
        rendered=rendered,
        num_train_videos=num_train_videos,
        one_caption_per_video=True,
        pipeline=[drawing, sampling, *rest],
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RenderedVideoDataset',
        rendered=rendered,
        split='val',
        test_mode=True,
        pipeline=test_pipeline,
    )
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RenderedVideoDataset',
        rendered=rendered,
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    )
)
train_cfg = dict(max_epochs=8, val_interval=1)  # of 400 iterations
