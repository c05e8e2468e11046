"""Write and read the similarity matrix of a test with its names, an ``.npz`` without pickle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.files import replacing
from ..utils.text import one_line
from .ranking import as_matrix, check_finite, check_scores

__all__ = ['SimilarityFile', 'load_bank_similarity', 'load_similarity', 'save_similarity']


@dataclass(frozen=True, eq=False)
class SimilarityFile:
    """A test result: scores and names.

    Args:
        similarity: (N, M) scores, texts as rows.
        video_of_text: (N,) the column of the right video of each text.
        video_ids: M names.
        captions: N sentences.
        logit_scale: Factor between cosine and score, None in files of older versions.
        bank_similarity: (Q, M) scores of a query bank, None if the test had none.
    """

    similarity: np.ndarray
    video_of_text: np.ndarray
    video_ids: list[str]
    captions: list[str]
    logit_scale: float | None
    bank_similarity: np.ndarray | None


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
    """Write a similarity file, complete or not at all.

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
    with replacing(path) as temporary, temporary.open('wb') as file:
        np.savez(file, **arrays)


def load_similarity(path: str | Path) -> SimilarityFile:
    """Read and check a similarity file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ``.npz``, lacks an array, or the arrays do not fit together or
            cannot be ranked; the message names file and array.
    """
    required = ('similarity', 'video_of_text', 'video_ids', 'captions')
    arrays = _read_arrays(path, required, ('logit_scale', 'bank_similarity'))
    with _naming(path):
        similarity, video_of_text = check_scores(arrays['similarity'], arrays['video_of_text'])
        check_finite(similarity)
        num_texts, num_videos = similarity.shape
        scale, bank = (arrays.get(name) for name in ('logit_scale', 'bank_similarity'))
        return SimilarityFile(
            similarity=similarity,
            video_of_text=video_of_text,
            video_ids=_check_names(arrays['video_ids'], 'video_ids', num_videos),
            captions=_check_names(arrays['captions'], 'captions', num_texts),
            logit_scale=None if scale is None else _check_logit_scale(scale),
            bank_similarity=None if bank is None else _check_bank(bank, num_videos),
        )


def load_bank_similarity(path: str | Path, video_ids: list[str]) -> np.ndarray:
    """Read the scores of a query bank with given videos: (Q, M).

    Args:
        path: An ``.npz`` with the array ``bank_similarity``. If it has ``video_ids`` too, they must
            be the given ones in the given order.
        video_ids: Name of each column.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, or belongs to other videos.
    """
    arrays = _read_arrays(path, ('bank_similarity',), ('video_ids',))
    with _naming(path):
        bank = _check_bank(arrays['bank_similarity'], len(video_ids))
        if 'video_ids' in arrays:
            names = _check_names(arrays['video_ids'], 'video_ids', len(video_ids))
            for column, (found, expected) in enumerate(zip(names, video_ids, strict=True)):
                if found != expected:
                    raise ValueError(
                        'the query bank has other videos or another order: '
                        f'video {column} is {found!r}, expected {expected!r}'
                    )
        return bank


def _read_arrays(
    path: str | Path, required: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, np.ndarray]:
    if not Path(path).exists():
        raise FileNotFoundError(f'similarity file {path} does not exist')
    try:
        content = np.load(path, allow_pickle=False)
        if not isinstance(content, np.lib.npyio.NpzFile):
            raise ValueError('it holds one array without a name')
        with content:
            found = sorted(content)
            arrays = {name: content[name] for name in (*required, *optional) if name in found}
    except Exception as error:  # NumPy raises many types on a file of another kind
        raise ValueError(
            f'{path} is not an .npz that can be read without pickle: {one_line(error)}'
        ) from error
    if missing := [name for name in required if name not in arrays]:
        raise ValueError(f'{path} lacks the arrays {missing}, found {found}')
    return arrays


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Put the file name before the message of an error."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def _check_names(names: np.ndarray, key: str, expected: int) -> list[str]:
    if names.shape != (expected,) or names.dtype.kind != 'U':
        raise ValueError(
            f'{key} must hold {expected} strings, got the shape {names.shape} '
            f'and the dtype {names.dtype}'
        )
    return names.tolist()


def _check_logit_scale(value: np.ndarray) -> float:
    if value.shape != () or value.dtype.kind not in 'fiu' or not 0 < float(value) < np.inf:
        raise ValueError(f'logit_scale is {str(value):.80}, expected one positive number')
    return float(value)


def _check_bank(bank: np.ndarray, num_videos: int) -> np.ndarray:
    scores = as_matrix(bank, 'bank_similarity')
    check_finite(scores, 'bank_similarity')
    if scores.shape[1] != num_videos:
        raise ValueError(f'bank_similarity has {scores.shape[1]} videos, expected {num_videos}')
    return scores
