"""A similarity matrix with its names on disk, for analysis without this package."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ['save_similarity']


def save_similarity(
    path: str | Path,
    *,
    similarity: np.ndarray,
    video_of_text: np.ndarray,
    video_ids: Sequence[str],
    captions: Sequence[str],
) -> None:
    """Write an ``.npz`` that needs no pickle; a partial file never has its name.

    Shape:
        similarity: (N, M), written in single precision; video_of_text: (N,); video_ids: (M,);
        captions: (N,). The file has arrays of these names.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        with part.open('wb') as file:
            np.savez(
                file,
                similarity=similarity.astype(np.float32, copy=False),
                video_of_text=video_of_text.astype(np.int64, copy=False),
                video_ids=np.array(video_ids, dtype=np.str_),
                captions=np.array(captions, dtype=np.str_),
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
