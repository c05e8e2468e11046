# Seven selected patches per frame, not three.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(neck=dict(topk=7), head=dict(temporal=dict(num_positions=6 * (1 + 7))))
