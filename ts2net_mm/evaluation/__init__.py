"""Retrieval metrics: functions on a similarity matrix, and the metric of the evaluation loop."""

from .dual_softmax import inverted_softmax
from .dump import save_similarity
from .metric import TextVideoRetrievalMetric
from .ranking import retrieval_metrics
from .table import format_table

__all__ = [
    'TextVideoRetrievalMetric',
    'format_table',
    'inverted_softmax',
    'retrieval_metrics',
    'save_similarity',
]
