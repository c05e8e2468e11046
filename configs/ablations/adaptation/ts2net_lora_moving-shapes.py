# The encoders are frozen but for LoRA adapters of rank 8 on the attention.
# Which asks for weights: --cfg-options load_from=CHECKPOINT. Needs the extra lora.
_base_ = '../../ts2net_moving-shapes.py'

lora = dict(rank=8, alpha=16)
model = dict(backbone=dict(lora=lora), text_encoder=dict(lora=lora))
