# Trained as ever, tested with the frames backwards.
_base_ = '../../ts2net_moving-shapes.py'

opening, sampling, decoding, resizing, *rest = _base_.test_pipeline
order = dict(type='ReorderFrames', order='reversed')

test_dataloader = dict(dataset=dict(pipeline=[opening, sampling, decoding, resizing, order, *rest]))
