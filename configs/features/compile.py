# torch.compile of the training step; the first iterations take minutes.
_base_ = '../ts2net_msrvtt.py'

compile = dict(backend='inductor')
