# Selection as the note on the released code says: [CLS] and K - 1 others, of K = 4. This is the
# base model, written out.
_base_ = '../../ts2net_moving-shapes.py'

model = dict(neck=dict(topk=3, candidates='patches'))
