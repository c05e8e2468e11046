"""Bring the results of all processes to the main one."""

from itertools import chain, zip_longest
from typing import Any

from mmengine.dist import all_gather_object, broadcast_object_list, get_rank

__all__ = ['collect_on_main']

PIECE = 64  # results that travel at a time


def collect_on_main(results: list[Any], size: int) -> list[Any] | None:
    """Move the results of all processes to the main process; all processes must call it.

    MMEngine's ``collect_results`` gives all of them to every process, or needs a folder that all
    processes share. Here they go through the process group, a few at a time.

    Args:
        results: Those of this process, in the order of MMEngine's sampler, without None; empty
            afterwards.
        size: How many there are in truth; a sampler may have repeated the first ones at the end.

    Returns:
        All results in the order of the data set in the main process, None in the others.
    """
    rank = get_rank()
    shards: list[list[Any]] = []
    for source, count in enumerate(all_gather_object(len(results))):
        shards.append(results.copy() if source == rank == 0 else [])
        for start in range(0, count if source else 0, PIECE):
            piece = [results[start : start + PIECE] if source == rank else []]
            broadcast_object_list(piece, src=source)
            if rank == 0:
                shards[source] += piece[0]
    results.clear()
    if rank:
        return None
    ordered = chain.from_iterable(zip_longest(*shards))
    return [result for result in ordered if result is not None][:size]
