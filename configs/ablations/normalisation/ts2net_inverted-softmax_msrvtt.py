# Also tested with inverted softmax: the base config, written out.
_base_ = '../../ts2net_msrvtt.py'

test_evaluator = dict(inverted_softmax=True)
