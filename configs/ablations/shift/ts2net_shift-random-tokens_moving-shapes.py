# Patches drawn once, from a seed, shift instead of evenly spread ones.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(backbone=dict(shift=dict(type='RandomTokenShift', num_shift_tokens=2, seed=0)))
