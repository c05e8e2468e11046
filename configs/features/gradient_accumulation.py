# The gradients of 4 batches per step: 2 GPUs x 16 x 4 = 128 videos. A video is compared only with
# the sentences of its own batch of 32: for the loss of a batch of 128 see cached_batch.py.
_base_ = '../ts2net_msrvtt.py'

optim_wrapper = dict(accumulative_counts=4)
