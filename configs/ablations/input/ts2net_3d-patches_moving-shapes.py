# Patches of 3 neighbouring frames (CLIP4Clip's 3-d patch embedding).
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(patch_frames=3))
