# Patches of 3 neighbouring frames (CLIP4Clip's 3-d patch embedding), which start as those of the
# middle frame. They are trained, as the weights of the neighbours are new.
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(patch_frames=3))
