# The quickstart: a small TS2-Net from scratch, on rendered videos, many of which differ only in the
# order of their frames.
_base_ = './_base_/default_runtime.py'

data_root = 'data/moving_shapes/'
num_frames = 6
max_words = 16
img_size = 48
batch_size = 64
max_epochs = 60  # of 40 iterations
lr = 1e-3
width = 64
num_heads = 4
topk = 3

model = dict(
    type='TS2Net',
    backbone=dict(
        type='TokenShiftViT',
        embed_dims=width,
        num_layers=3,
        num_heads=num_heads,
        img_size=img_size,
        patch_size=16,
        out_dims=width,
        shift_layers=(1, 2),
        num_shift_tokens=2,  # in each direction, of 9 patches
    ),
    text_encoder=dict(
        type='CLIPTextEncoder',
        context_length=max_words,
        width=width,
        num_layers=2,
        num_heads=num_heads,
        out_dims=width,
    ),
    neck=dict(type='TokenSelection', embed_dims=width, topk=topk, num_samples=100),
    head=dict(
        type='RetrievalHead',
        temporal=dict(
            type='TemporalTransformer',
            embed_dims=width,
            num_layers=2,
            num_heads=num_heads,
            num_positions=num_frames * (1 + topk),
            frame_std=0.5,
            slot_std=0.1,
        ),
    ),
)

decode_and_pack = [
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, img_size), interpolation='area'),
    dict(type='CenterCrop', crop_size=img_size),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='TokenizeCaptions', max_words=max_words),
    dict(
        type='PackActionInputs',
        collect_keys=('imgs', 'text'),
        meta_keys=('video_id', 'captions', 'reversal'),
    ),
]
train_pipeline = [
    dict(type='VideoInit'),
    dict(type='UniformSample', clip_len=num_frames),
    *decode_and_pack,
]
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='UniformSample', clip_len=num_frames, test_mode=True),
    *decode_and_pack,
]

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    # two videos of one meaning in a batch would be false negatives
    batch_sampler=dict(type='DistinctGroupBatchSampler', group='meaning'),
    dataset=dict(
        type='TextVideoDataset',
        data_root=data_root,
        ann_file='train.json',
        data_prefix=dict(video=''),
        one_caption_per_video=True,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='TextVideoDataset',
        data_root=data_root,
        ann_file='val.json',
        data_prefix=dict(video=''),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='TextVideoDataset',
        data_root=data_root,
        ann_file='test.json',
        data_prefix=dict(video=''),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(type='TextVideoRetrievalMetric')
test_evaluator = dict(
    type='TextVideoRetrievalMetric', inverted_softmax=True, hard_negative='reversal'
)

train_cfg = dict(type='ResumableTrainLoop', max_epochs=max_epochs, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=lr, betas=(0.9, 0.98), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type='WarmupCosineLR', warmup_ratio=0.04, by_epoch=False)
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=5, save_best=None, rule=None)
)
custom_hooks = [
    *_base_.custom_hooks,
    # validated, saved and tested: the weights averaged over about the last tenth of the run
    dict(type='EMAHook', ema_type='MomentumAnnealingEMA', gamma=10, momentum=0.002),
]
auto_scale_lr = dict(enable=False, base_batch_size=64)
