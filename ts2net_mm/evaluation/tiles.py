"""Rank texts and videos from tiles of their similarity matrix, each computed or read once."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ['DIRECTIONS', 'Observer', 'Read', 'Rows', 'rank_tiles', 'read_matrix']

DIRECTIONS = ('t2v', 'v2t')

TILE_ELEMENTS = 2**20  # a few temporaries of this size fit into the cache of a CPU

Rows = slice | Tensor
Read = Callable[[Rows, slice], Tensor]  # the scores of some texts with some videos, (n, m)


class Observer(Protocol):
    """Takes what it needs from each tile of a scan."""

    def add(self, texts: slice, videos: slice, scores: Tensor) -> None:
        """Take the scores of some texts with some videos, (n, m)."""


def read_matrix(scores: np.ndarray) -> Read:
    """Give tiles of a matrix, without a copy where the texts are a slice."""
    matrix = torch.from_numpy(scores)
    return lambda texts, videos: matrix[texts, videos]


def rank_tiles(
    read: Read,
    owners: np.ndarray,
    num_videos: int,
    *,
    directions: Sequence[str] = DIRECTIONS,
    observers: Sequence[Observer] = (),
) -> dict[str, np.ndarray]:
    """Rank the right candidates of all queries, reading each tile of the scores once.

    Tiles in which texts meet their own videos come first, so that ranks are counted as the others
    arrive, and the whole matrix need not exist.

    Args:
        read: Gives a tile; the texts are a slice if ``owners`` is sorted, else their rows.
        owners: The video of each text.
        num_videos: How many there are.
        directions: Which of ``'t2v'`` and ``'v2t'`` to rank.
        observers: What else looks at the tiles, with the texts in the order of their videos.

    Returns:
        For each direction the 1-based ranks, the last place among ties: of all texts, and of the
        videos with captions.
    """
    order = None if np.all(owners[1:] >= owners[:-1]) else np.argsort(owners, kind='stable')
    ordered = owners if order is None else owners[order]
    rows_of = (lambda texts: texts) if order is None else torch.from_numpy(order).__getitem__
    videos_of_texts = torch.from_numpy(ordered)
    both: dict[str, _Ranks] = dict(
        t2v=_TextRanks(videos_of_texts), v2t=_VideoRanks(videos_of_texts, num_videos)
    )
    rankers = {direction: both[direction] for direction in directions}
    for texts, videos in _tiles(ordered, num_videos):
        scores = read(rows_of(texts), videos)
        for observer in (*rankers.values(), *observers):
            observer.add(texts, videos, scores)
    ranks = {direction: ranker.ranks.numpy() for direction, ranker in rankers.items()}
    if order is not None and 't2v' in ranks:
        ranks['t2v'] = ranks['t2v'][np.argsort(order)]
    return ranks


def _tiles(owners: np.ndarray, num_videos: int) -> Iterator[tuple[slice, slice]]:
    """Yield the tiles of the matrix, those with own videos first: (texts, videos)."""
    groups = _group_videos(owners, num_videos)
    pairs = product(range(len(groups)), repeat=2)
    for text_group, video_group in sorted(pairs, key=lambda pair: pair[0] != pair[1]):
        texts, videos = groups[text_group][0], groups[video_group][1]
        if texts.start < texts.stop:  # else none of the group's videos has captions
            yield texts, videos


def _group_videos(owners: np.ndarray, num_videos: int) -> list[tuple[slice, slice]]:
    """Cut the videos into groups, each with its texts: (texts, videos)."""
    captions = np.bincount(owners, minlength=num_videos)
    num_groups = int(np.ceil(np.sqrt(len(owners) * num_videos / TILE_ELEMENTS)))
    # Videos and texts count half each, so that few captions a video, or many, make similar tiles
    share = np.cumsum(captions / len(owners) + 1 / num_videos) / 2
    group = np.floor(share * num_groups * (1 - 1e-9)).astype(np.int64)
    bounds = [*np.flatnonzero(np.diff(group, prepend=-1)).tolist(), num_videos]
    texts = np.concatenate([[0], np.cumsum(captions)])[bounds].tolist()
    return [
        (slice(*of_texts), slice(*of_videos))
        for of_texts, of_videos in zip(pairwise(texts), pairwise(bounds), strict=True)
    ]


class _Ranks(Observer, Protocol):
    """Counts ranks."""

    @property
    def ranks(self) -> Tensor:
        """The ranks, after all tiles."""


class _TextRanks:
    """The 1-based rank of each text's own video, the last place among ties.

    Args:
        owners: The video of each text, in ascending order.
    """

    def __init__(self, owners: Tensor) -> None:
        self.owners = owners
        self.ranks = torch.zeros_like(owners)
        self._own = owners.new_empty(len(owners), dtype=torch.float64)

    def add(self, texts: slice, videos: slice, scores: Tensor) -> None:
        """Count the videos that score at least as high as the right one."""
        if _holds_own(self.owners, texts, videos):
            columns = self.owners[texts, None] - videos.start
            self._own[texts] = scores.gather(1, columns.to(scores.device)).squeeze(1).double().cpu()
        own = self._own[texts, None].to(scores)
        self.ranks[texts] += (scores >= own).sum(dim=1, dtype=torch.int32).cpu()


class _VideoRanks:
    """The 1-based rank of each video among those with captions, each represented by its best.

    Args:
        owners: The video of each text, in ascending order.
        num_videos: How many there are.
    """

    def __init__(self, owners: Tensor, num_videos: int) -> None:
        self.owners = owners
        self._ranks = owners.new_zeros(num_videos)
        self._own = owners.new_full((num_videos,), torch.nan, dtype=torch.float64)

    @property
    def ranks(self) -> Tensor:
        """Those of the videos with captions, in their order."""
        return self._ranks[self.owners.unique()]

    def add(self, texts: slice, videos: slice, scores: Tensor) -> None:
        """Count the videos whose best caption scores at least as high as the own best one."""
        first, last = (int(self.owners[text]) for text in (texts.start, texts.stop - 1))
        rows = (self.owners[texts, None] - first).to(scores.device).expand_as(scores)
        # NaN, which compares with nothing, stands for videos without captions
        best = scores.new_full((last + 1 - first, scores.shape[1]), torch.nan)
        best.scatter_reduce_(0, rows, scores, 'amax', include_self=False)
        if _holds_own(self.owners, texts, videos):
            own_best = best[:, first - videos.start :].diagonal()
            self._own[first : last + 1] = own_best.double().cpu()
        own = self._own[videos].to(scores)
        self._ranks[videos] += (best >= own).sum(dim=0, dtype=torch.int32).cpu()


def _holds_own(owners: Tensor, texts: slice, videos: slice) -> bool:
    """Whether a tile has the own videos of its texts: all of them or none."""
    return videos.start <= int(owners[texts.start]) < videos.stop
