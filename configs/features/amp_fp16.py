# Mixed precision in fp16 with loss scaling; needs a GPU. tools/train.py --amp does the same.
_base_ = '../ts2net_msrvtt.py'

optim_wrapper = dict(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
val_cfg = dict(fp16=True)
test_cfg = dict(fp16=True)
