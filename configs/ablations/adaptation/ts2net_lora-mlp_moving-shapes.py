# The encoders are frozen but for LoRA adapters of rank 8 on attention and MLP.
# Which asks for weights: --cfg-options load_from=CHECKPOINT. Needs the extra lora.
_base_ = '../../ts2net_moving-shapes.py'

lora = dict(rank=8, alpha=16, targets=('qkv', 'proj', 'fc1', 'fc2'))
model = dict(backbone=dict(lora=lora), text_encoder=dict(lora=lora))
