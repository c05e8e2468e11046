# Videos that are folders of extracted frames: data/msrvtt/frames/video0/img_00001.jpg and so on.
# The annotation stays unchanged: video0.mp4 stands for the folder video0.
_base_ = '../ts2net_msrvtt.py'

frames = dict(type='FrameFolderInit', fps=3, filename_tmpl='img_{:05}.jpg')  # pictures per second
sampling, rest = _base_.video_pipeline[1], _base_.video_pipeline[3:]
video_pipeline = [frames, sampling, dict(type='RawFrameDecode'), *rest]
dataset = dict(data_prefix=dict(video='frames'), pipeline=video_pipeline)

train_dataloader = val_dataloader = test_dataloader = dict(dataset=dataset)
