# The loss of 128 videos on one GPU, in the memory of chunk_size videos; on 2 GPUs: batch_size=64.
_base_ = '../ts2net_msrvtt.py'

train_dataloader = dict(batch_size=128)
train_cfg = dict(type='CachedBatchTrainLoop', chunk_size=16)
