# DiDeMo, paragraphs: 64 frames, 64 words. The rest is the MSR-VTT recipe, according to the authors
# (https://github.com/LiuRicky/ts2_net/issues/9).
_base_ = [
    './_base_/models/ts2net_vit-b32_64-frames.py',
    './_base_/datasets/didemo.py',
    './_base_/schedules/bertadam_5e.py',
    './_base_/default_runtime.py',
]
