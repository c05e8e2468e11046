# LSMDC: 12 frames, 32 words. The recipe is that of MSR-VTT, according to the authors
# (https://github.com/LiuRicky/ts2_net/issues/9).
_base_ = [
    './_base_/models/ts2net_vit-b32.py',
    './_base_/datasets/lsmdc.py',
    './_base_/schedules/bertadam_5e.py',
    './_base_/default_runtime.py',
]
