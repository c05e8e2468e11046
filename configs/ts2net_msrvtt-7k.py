# MSR-VTT 1kA, trained on the 7,010 official training and validation videos.
_base_ = './ts2net_msrvtt.py'

train_dataloader = dict(dataset=dict(ann_file='train_7k.json'))
