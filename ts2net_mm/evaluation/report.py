"""Plain and normalised metrics of one similarity matrix."""

import numpy as np

from .dual_softmax import inverted_softmax as weight_by_inverted_softmax
from .query_bank import INVERSE_TEMPERATURE, TOPK, dynamic_inverted_softmax
from .ranking import DIRECTIONS, retrieval_metrics

__all__ = ['measure_similarity']


def measure_similarity(
    logits: np.ndarray,
    video_of_text: np.ndarray,
    *,
    inverted_softmax: bool = False,
    bank_logits: np.ndarray | None = None,
    logit_scale: float = 1.0,
    inverse_temperature: float = INVERSE_TEMPERATURE,
    topk: int = TOPK,
) -> dict[str, float]:
    """Measure a matrix as it is and, where asked, after the normalisations.

    Args:
        logits: Scores with the logit scale, texts as rows.
        video_of_text: The column of the right video of each text.
        inverted_softmax: Whether to add ``t2v_dsl/...`` and ``v2t_dsl/...``.
        bank_logits: Scores of the queries of a bank; adds ``t2v_qb/...``.
        logit_scale: Factor between cosine and logit.
        inverse_temperature: Setting of the query bank, for cosines.
        topk: Setting of the query bank.

    Shape:
        logits: (N, M), video_of_text: (N,), bank_logits: (Q, M).

    Raises:
        ValueError: see `retrieval_metrics`, `inverted_softmax` and `dynamic_inverted_softmax`.
    """
    metrics = retrieval_metrics(logits, video_of_text)
    if inverted_softmax:
        for direction in DIRECTIONS:
            # no name for the weighted matrix: it would live on beside the next one
            metrics |= _of_direction(
                weight_by_inverted_softmax(logits, direction), video_of_text, direction, 'dsl'
            )
    if bank_logits is not None:
        normalised = dynamic_inverted_softmax(
            logits,
            bank_logits,
            inverse_temperature=inverse_temperature / logit_scale,
            topk=topk,
        )
        metrics |= _of_direction(normalised, video_of_text, 't2v', 'qb')
    return metrics


def _of_direction(
    scores: np.ndarray, video_of_text: np.ndarray, direction: str, suffix: str
) -> dict[str, float]:
    metrics = retrieval_metrics(scores, video_of_text)
    return {
        key.replace('/', f'_{suffix}/'): value
        for key, value in metrics.items()
        if key.startswith(direction)
    }
