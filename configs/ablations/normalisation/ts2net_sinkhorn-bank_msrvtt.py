# Also tested with Sinkhorn normalisation, of the test queries and of a query bank.
_base_ = './ts2net_query-bank_msrvtt.py'

test_evaluator = dict(sinkhorn=True)
