# 64 frames x (1 + 3) tokens are 256 temporal positions, each with its own embedding. The 77 of CLIP
# or of released weights are interpolated to 256 when they are loaded; the log says so.
_base_ = './ts2net_vit-b32.py'

model = dict(head=dict(temporal=dict(num_positions=256)))
