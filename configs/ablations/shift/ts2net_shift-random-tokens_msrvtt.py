# Patches drawn once, from a seed, shift instead of evenly spread ones.
_base_ = '../../ts2net_msrvtt.py'

model = dict(backbone=dict(shift=dict(type='RandomTokenShift', num_shift_tokens=7, seed=0)))
