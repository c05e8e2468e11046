# CLIP is frozen but for LoRA adapters of rank 8 on attention and MLP of all blocks.
# Adapters learn at the rate of new modules. Needs the extra lora.
_base_ = '../../ts2net_msrvtt.py'

lora = dict(rank=8, alpha=16, targets=('qkv', 'proj', 'fc1', 'fc2'))
model = dict(backbone=dict(lora=lora), text_encoder=dict(lora=lora))
