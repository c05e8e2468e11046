# MSR-VTT 1kA as in ts2net_msrvtt.py, trained with AdamW instead of the released recipe.
_base_ = [
    './_base_/models/ts2net_vit-b32.py',
    './_base_/datasets/msrvtt.py',
    './_base_/schedules/adamw_5e.py',
    './_base_/default_runtime.py',
]

model = dict(head=dict(loss=dict(gradient_scale=1.0)))
