# MSVD: 12 frames, 32 words, all captions of a video. The paper does not test it. The recipe is that
# of MSR-VTT; CLIP4Clip's MSVD command has the same epochs, batch size and learning rates
# (https://github.com/ArrowLuo/CLIP4Clip).
_base_ = [
    './_base_/models/ts2net_vit-b32.py',
    './_base_/datasets/msvd.py',
    './_base_/schedules/bertadam_5e.py',
    './_base_/default_runtime.py',
]
