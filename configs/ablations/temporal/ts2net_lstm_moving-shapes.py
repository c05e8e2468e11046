# An LSTM over the kept tokens instead of the temporal transformer.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(head=dict(temporal=dict(_delete_=True, type='TemporalLSTM', embed_dims=_base_.width)))
