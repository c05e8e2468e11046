"""Read the similarity file that `save_similarity` writes, and say what is wrong with another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..utils.text import one_line
from .ranking import check_scores
from .scores import as_scores, reject

__all__ = ['SimilarityFile', 'load_bank_similarity', 'load_similarity']

REQUIRED = ('similarity', 'video_of_text', 'video_ids', 'captions')
OPTIONAL = ('logit_scale', 'bank_similarity')


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


def load_similarity(path: str | Path) -> SimilarityFile:
    """Read and check a similarity file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ``.npz``, lacks an array, or the arrays do not fit together or hold
            what cannot be ranked; the message names file and array.
    """
    arrays = _read_arrays(path, REQUIRED, OPTIONAL)
    try:
        similarity, video_of_text = check_scores(arrays['similarity'], arrays['video_of_text'])
        reject(similarity, lambda block: ~np.isfinite(block), 'NaN or infinite')
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    num_texts, num_videos = similarity.shape
    bank = arrays.get('bank_similarity')
    return SimilarityFile(
        similarity=similarity,
        video_of_text=video_of_text,
        video_ids=_names(path, arrays, 'video_ids', num_videos),
        captions=_names(path, arrays, 'captions', num_texts),
        logit_scale=_logit_scale(path, arrays.get('logit_scale')),
        bank_similarity=None if bank is None else _check_bank(path, bank, num_videos),
    )


def load_bank_similarity(path: str | Path, video_ids: list[str]) -> np.ndarray:
    """Read the scores of a query bank with given videos: (Q, M).

    Args:
        path: An ``.npz`` with the array ``bank_similarity``. If it has ``video_ids`` too, they must
            be the given ones in the given order.
        video_ids: Name of each column.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, or one of other videos.
    """
    arrays = _read_arrays(path, ('bank_similarity',), ('video_ids',))
    bank = _check_bank(path, arrays['bank_similarity'], len(video_ids))
    if 'video_ids' in arrays:
        names = _names(path, arrays, 'video_ids', len(video_ids))
        for column, (found, expected) in enumerate(zip(names, video_ids, strict=True)):
            if found != expected:
                raise ValueError(
                    f'{path}: the query bank is one of other videos or of another order: '
                    f'video {column} is {found!r}, expected {expected!r}'
                )
    return bank


def _read_arrays(
    path: str | Path, required: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, np.ndarray]:
    path = Path(path)
    if path.is_dir():
        raise ValueError(f'{path} is a folder, expected a similarity file (.npz)')
    if not path.is_file():
        raise FileNotFoundError(f'similarity file {path} does not exist')
    try:
        content = np.load(path, allow_pickle=False)
        if not isinstance(content, np.lib.npyio.NpzFile):
            raise ValueError('it holds one array without a name')
        with content:
            found = sorted(content)
            names = [name for name in (*required, *optional) if name in found]
            arrays = {name: content[name] for name in names}
    except Exception as error:  # NumPy raises many types on a file of another kind
        raise ValueError(
            f'{path} is no .npz that can be read without pickle: {one_line(error)}'
        ) from error
    if missing := [name for name in required if name not in arrays]:
        raise ValueError(f'{path} lacks the arrays {missing}, found {found}')
    return arrays


def _names(
    path: str | Path, arrays: Mapping[str, np.ndarray], key: str, expected: int
) -> list[str]:
    names = np.asarray(arrays[key])
    if names.shape != (expected,) or names.dtype.kind != 'U':
        raise ValueError(
            f'{path}: {key} must hold {expected} strings, got the shape {names.shape} '
            f'and the dtype {names.dtype}'
        )
    return names.tolist()


def _logit_scale(path: str | Path, value: np.ndarray | None) -> float | None:
    if value is None:
        return None
    value = np.asarray(value)
    if value.shape != () or value.dtype.kind not in 'fiu' or not 0 < float(value) < np.inf:
        raise ValueError(f'{path}: logit_scale is {str(value):.80}, expected one positive number')
    return float(value)


def _check_bank(path: str | Path, bank: np.ndarray, num_videos: int) -> np.ndarray:
    try:
        scores = as_scores(bank, 'bank_similarity')
        reject(scores, lambda block: ~np.isfinite(block), 'NaN or infinite', 'bank_similarity')
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    if scores.shape[1] != num_videos:
        raise ValueError(
            f'{path}: bank_similarity has {scores.shape[1]} videos, expected {num_videos}'
        )
    return scores
