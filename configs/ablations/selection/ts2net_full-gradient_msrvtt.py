# The scores get the whole gradient of the perturbed selection, not the diagonal of its Jacobian.
_base_ = '../../ts2net_msrvtt.py'

model = dict(neck=dict(gradient='full'))
