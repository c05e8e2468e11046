# Mixed precision in bf16, on a GPU or a CPU.
_base_ = '../ts2net_msrvtt.py'

optim_wrapper = dict(type='AutocastOptimWrapper')
