# MSR-VTT 1kA by the released recipe: ViT-B/32, 12 frames, 32 words, 8 GPUs x 16 = 128, 5 epochs.
_base_ = [
    './_base_/models/ts2net_vit-b32.py',
    './_base_/datasets/msrvtt.py',
    './_base_/schedules/bertadam_5e.py',
    './_base_/default_runtime.py',
]
