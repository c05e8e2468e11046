# The full MSR-VTT test: 2,990 videos with 20 captions each. It trains on the 7k split,
# because 1,990 of these videos are in the 9k split.
_base_ = './ts2net_msrvtt-7k.py'

val_dataloader = dict(dataset=dict(ann_file='test_full.json'))
test_dataloader = val_dataloader
