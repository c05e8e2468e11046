"""Test videos that cannot be read: an error, or left out and counted."""

import logging
from collections.abc import Sequence
from typing import Any

from mmengine.dist import all_gather_object
from mmengine.logging import print_log

from ..datasets.bad_videos import BadVideo, BadVideosError

__all__ = ['left_out_metrics', 'reject_bad_videos', 'split_left_out']


def reject_bad_videos(videos: Sequence[BadVideo], size: int) -> None:
    """Stop unless the bad videos of all processes are to be skipped; all processes must call it.

    Args:
        videos: Those of this process.
        size: Videos of the split.

    Raises:
        BadVideosError: In all processes, naming all of the videos.
    """
    shards = all_gather_object([video for video in videos if not video.skip])
    bad = {video for shard in shards for video in shard}
    if bad:
        raise BadVideosError.from_videos(
            f'{len(bad)} of {size} test videos cannot be read',
            bad,
            "mend them, or leave them out by dataset=dict(on_bad_video='skip')",
        )


def split_left_out(results: Sequence[Any]) -> tuple[list[Any], list[BadVideo]]:
    """Part the predictions from the videos that have none."""
    predictions = [one for one in results if not isinstance(one, BadVideo)]
    return predictions, [one for one in results if isinstance(one, BadVideo)]


def left_out_metrics(videos: Sequence[BadVideo]) -> dict[str, float]:
    """Name the videos that were left out in the log, and count them and their captions."""
    if not videos:
        return {}
    lines = (f'{video.filename}: {video.reason}' for video in videos)
    print_log(
        '\n  '.join(('Left out of queries and candidates:', *lines)),
        logger='current',
        level=logging.WARNING,
    )
    texts = sum(video.num_texts for video in videos)
    return {'left_out/videos': float(len(videos)), 'left_out/texts': float(texts)}
