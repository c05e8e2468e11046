# 64 frames at one a second, 64 tokens: the protocol of the paragraphs of ActivityNet and DiDeMo, as
# in the commands of CLIP4Clip (https://github.com/ArrowLuo/CLIP4Clip).
_base_ = './text-video_12x32.py'

num_frames = 64
max_words = 64

# the pipeline of 12 x 32, with these two numbers in it
protocol = dict(
    SampleFramesByRate=dict(num_frames=num_frames), TokenizeCaptions=dict(max_words=max_words)
)
video_pipeline = [dict(step, **protocol.get(step['type'], {})) for step in _base_.video_pipeline]
train_pipeline = video_pipeline
test_pipeline = video_pipeline

# Where 64 frames exceed the memory: tools/data/activitynet/README.md says what helps.
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
