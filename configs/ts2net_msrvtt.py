# MSR-VTT 1kA with the paper's settings: ViT-B/32, 12 frames, 32 words, 8 GPUs x 16 = 128, 5 epochs.
# The weights are random unless load_from names converted TS2-Net weights; the recipe, which freezes
# the embeddings and trains CLIP's part at 1e-7, makes sense only with such.
_base_ = [
    './_base_/models/ts2net_vit-b32.py',
    './_base_/datasets/msrvtt.py',
    './_base_/schedules/bertadam_5e.py',
    './_base_/default_runtime.py',
]
