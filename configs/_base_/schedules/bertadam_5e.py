# The released recipe: BertAdam, CLIP at 1e-7 and new modules at 1e-4, 5 epochs, global batch 128.
# docs/recipe.md explains every setting.
lr = 1e-4  # learning rate of new modules
clip_lr_mult = 1e-3  # CLIP's learning rate relative to lr
fp16_arithmetic = True  # update CLIP's matrices in fp16: other step sizes than 1e-7 in fp32
max_epochs = 5

train_cfg = dict(type='ResumableTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='CLIPOptimWrapperConstructor',
    optimizer=dict(
        type='BertAdam',
        lr=lr,
        betas=(0.9, 0.98),
        eps=1e-6,
        weight_decay=0.2,
        max_grad_norm=1.0,  # of each tensor
    ),
    paramwise_cfg=dict(clip_lr_mult=clip_lr_mult, fp16_arithmetic=fp16_arithmetic),
    clip_grad=dict(max_norm=1.0),  # of all gradients together, before the clip of each tensor
)
param_scheduler = dict(type='WarmupCosineLR', warmup_ratio=0.1, by_epoch=False)

# 8 GPUs x 16 videos
auto_scale_lr = dict(enable=False, base_batch_size=128)
