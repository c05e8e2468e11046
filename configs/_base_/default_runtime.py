default_scope = 'mmaction'
custom_imports = dict(imports=['ts2net_mm'], allow_failed_imports=False)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, ignore_last=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='ResumableCheckpointHook',
        interval=1,
        max_keep_ckpts=2,
        save_best='t2v/R1',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
custom_hooks = [
    dict(type='FiniteLossHook'),
    dict(type='LogitScaleClampHook', max_scale=100.0),
    dict(type='StrictCheckpointHook'),
    dict(type='ModelConfigHook'),
    dict(type='QueryBankHook'),
    dict(type='BadVideosHook', max_share=0.01),  # share of training videos that may be unreadable
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
visualizer = dict(type='ActionVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_level = 'INFO'
load_from = None
resume = False
