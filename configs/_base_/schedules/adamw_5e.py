# A modern recipe: AdamW on fp32 weights, bf16 autocast on a GPU, 5 epochs, global batch 128.
# docs/recipe.md names the source of every setting; the rates were not tuned here.
clip_lr = 2e-6  # learning rate of CLIP's parameters
lr = 2e-5  # learning rate of new modules
warmup_ratio = 0.1
max_epochs = 5

train_cfg = dict(type='ResumableTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# AmpOptimWrapper does not run on a CPU. __import__, because an import statement would make MMEngine
# read this file as a pure Python config, from which other configs cannot inherit.
if __import__('torch').cuda.is_available():
    # bf16 has the range of fp32 and needs no loss scale
    precision = dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
else:
    precision = dict(type='OptimWrapper')

optim_wrapper = dict(
    **precision,
    constructor='CLIPOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=lr, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.05),
    paramwise_cfg=dict(clip_lr_mult=clip_lr / lr, decay_matrices_only=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type='WarmupCosineLR', warmup_ratio=warmup_ratio, by_epoch=False)

# 8 GPUs x 16 videos
auto_scale_lr = dict(enable=False, base_batch_size=128)
