# VATEX: 12 frames, 32 words, ten captions per video. The recipe is that of MSR-VTT, as in the
# released scripts/run_vatex.sh (https://github.com/LiuRicky/ts2_net).
_base_ = [
    './_base_/models/ts2net_vit-b32.py',
    './_base_/datasets/vatex.py',
    './_base_/schedules/bertadam_5e.py',
    './_base_/default_runtime.py',
]
