# Temporal positions of frames: the tokens of a frame share one.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(head=dict(temporal=dict(positions='frame', num_positions=_base_.num_frames)))
