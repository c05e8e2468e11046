# The encoders are frozen but for LoRA adapters of rank 8 on the attention of the last 2 blocks.
# Which asks for weights: --cfg-options load_from=CHECKPOINT. Needs the extra lora.
_base_ = '../../ts2net_moving-shapes.py'

lora = dict(rank=8, alpha=16, layers=(-2, -1))
model = dict(backbone=dict(lora=lora), text_encoder=dict(lora=lora))
