# Also tested with Sinkhorn normalisation.
_base_ = '../../ts2net_msrvtt.py'

test_evaluator = dict(sinkhorn=True)
