# Also tested with Sinkhorn normalisation.
_base_ = '../../ts2net_moving-shapes.py'

test_evaluator = dict(sinkhorn=True)
