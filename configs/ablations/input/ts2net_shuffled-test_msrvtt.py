# Trained as ever, tested with the frames in a random order that is always the same for a video.
_base_ = '../../ts2net_msrvtt.py'

opening, sampling, decoding, resizing, *rest = _base_.video_pipeline
order = dict(type='ReorderFrames', order='shuffled')

test_dataloader = dict(dataset=dict(pipeline=[opening, sampling, decoding, resizing, order, *rest]))
