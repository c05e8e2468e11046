# 64 frames, one per second, 64 tokens: the protocol for the paragraphs of ActivityNet and DiDeMo
# in CLIP4Clip's commands (https://github.com/ArrowLuo/CLIP4Clip).
_base_ = './text-video_12x32.py'

num_frames = 64
max_words = 64

# the pipeline of text-video_12x32.py with these two numbers
protocol = dict(
    SampleFramesByRate=dict(num_frames=num_frames), TokenizeCaptions=dict(max_words=max_words)
)
video_pipeline = [dict(step, **protocol.get(step['type'], {})) for step in _base_.video_pipeline]
train_pipeline = video_pipeline
test_pipeline = video_pipeline

# If 64 frames exceed the memory, see tools/data/activitynet/README.md.
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
