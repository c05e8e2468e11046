# 12 frames, one per second, 32 tokens: the paper's protocol, except for ActivityNet and DiDeMo.
# The file of each data set sets data_root and ann_file.
num_frames = 12
max_words = 32
batch_size = 16

video_pipeline = [
    dict(type='VideoInit', timeout=60),  # seconds, after which a video counts as unreadable
    dict(type='SampleFramesByRate', num_frames=num_frames),
    dict(type='VideoDecode'),
    dict(type='CLIPResize', size=224),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='TokenizeCaptions', max_words=max_words),
    dict(
        type='PackActionInputs',
        collect_keys=('imgs', 'text', 'frame_mask'),
        meta_keys=('video_id', 'captions'),
    ),
]
train_pipeline = video_pipeline
test_pipeline = video_pipeline

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='TextVideoDataset', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='TextVideoDataset', pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='TextVideoRetrievalMetric', inverted_softmax=True)
test_evaluator = val_evaluator
