# An LSTM over the kept tokens instead of the temporal transformer.
_base_ = '../../ts2net_msrvtt.py'

model = dict(head=dict(temporal=dict(_delete_=True, type='TemporalLSTM', embed_dims=512)))
