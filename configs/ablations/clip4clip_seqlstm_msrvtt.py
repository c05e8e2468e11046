# CLIP4Clip's seqLSTM: meanP with an LSTM before the mean.
_base_ = './clip4clip_meanp_msrvtt.py'

model = dict(head=dict(temporal=dict(_delete_=True, type='TemporalLSTM', embed_dims=512)))
