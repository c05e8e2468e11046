# Trained as ever, tested with the frames backwards.
_base_ = '../../ts2net_msrvtt.py'

opening, sampling, decoding, resizing, *rest = _base_.video_pipeline
order = dict(type='ReorderFrames', order='reversed')

test_dataloader = dict(dataset=dict(pipeline=[opening, sampling, decoding, resizing, order, *rest]))
