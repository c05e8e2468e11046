"""Write a similarity matrix with its names, for analysis without this package."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ['save_similarity']


def save_similarity(
    path: str | Path,
    *,
    similarity: np.ndarray,
    video_of_text: np.ndarray,
    video_ids: Sequence[str],
    captions: Sequence[str],
    logit_scale: float | None = None,
    bank_similarity: np.ndarray | None = None,
    bank_captions: Sequence[str] | None = None,
) -> None:
    """Write an ``.npz`` that needs no pickle; a partial file never has its name.

    Args:
        path: The file; missing folders are made.
        similarity: Scores of the test texts.
        video_of_text: The column of the right video of each text.
        video_ids: Name of each video.
        captions: The sentence of each text.
        logit_scale: Factor between cosine and score.
        bank_similarity: Scores of the queries of a bank with the same videos.
        bank_captions: The sentence of each query of the bank.

    Shape:
        similarity: (N, M), written in single precision; video_of_text: (N,); video_ids: (M,);
        captions: (N,); logit_scale: (); bank_similarity: (Q, M), single precision; bank_captions:
        (Q,). The file has arrays of these names, without those that are None.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = dict(
        similarity=similarity.astype(np.float32, copy=False),
        video_of_text=video_of_text.astype(np.int64, copy=False),
        video_ids=np.array(video_ids, dtype=np.str_),
        captions=np.array(captions, dtype=np.str_),
    )
    if logit_scale is not None:
        arrays['logit_scale'] = np.float64(logit_scale)
    if bank_similarity is not None:
        arrays['bank_similarity'] = bank_similarity.astype(np.float32, copy=False)
    if bank_captions is not None:
        arrays['bank_captions'] = np.array(bank_captions, dtype=np.str_)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        with part.open('wb') as file:
            np.savez(file, **arrays)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
