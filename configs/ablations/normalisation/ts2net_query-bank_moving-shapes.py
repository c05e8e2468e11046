# Also tested with a query bank of training captions (QB-Norm).
_base_ = '../../ts2net_moving-shapes.py'

test_evaluator = dict(query_bank=dict(ann_file=f'{_base_.data_root}train.json'))
