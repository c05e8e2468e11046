"""Retrieval metrics: functions on a similarity matrix, and the metric of the evaluation loop."""

from .hard_examples import most_confused_pairs, worst_ranked_texts
from .metric import TextVideoRetrievalMetric
from .normalisation import dynamic_inverted_softmax, inverted_softmax
from .query_bank_hook import QueryBankHook
from .ranking import retrieval_metrics
from .report import format_table, measure_similarity
from .similarity_file import load_similarity, save_similarity
from .sinkhorn import SinkhornOptions, sinkhorn_bank_scores, sinkhorn_potentials, sinkhorn_scores

__all__ = [
    'QueryBankHook',
    'SinkhornOptions',
    'TextVideoRetrievalMetric',
    'dynamic_inverted_softmax',
    'format_table',
    'inverted_softmax',
    'load_similarity',
    'measure_similarity',
    'most_confused_pairs',
    'retrieval_metrics',
    'save_similarity',
    'sinkhorn_bank_scores',
    'sinkhorn_potentials',
    'sinkhorn_scores',
    'worst_ranked_texts',
]
