# Selection as in the paper's text: the K = 4 best of all tokens; [CLS] is kept only if its score is
# among them.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(neck=dict(topk=4, candidates='all'))
