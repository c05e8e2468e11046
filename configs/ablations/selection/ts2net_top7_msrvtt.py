# Seven selected patches per frame, not three: 12 x (1 + 7) = 96 tokens, to which the 77 positions
# of CLIP are stretched when they are loaded.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(topk=7), head=dict(temporal=dict(num_positions=12 * (1 + 7))))
