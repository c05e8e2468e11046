# Also tested with Sinkhorn normalisation, of the test queries and of a query bank.
_base_ = './ts2net_query-bank_moving-shapes.py'

test_evaluator = dict(sinkhorn=True)
