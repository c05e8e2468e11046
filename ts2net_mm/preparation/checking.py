"""Read the videos of annotation files: why one is unreadable, and statistics of the others."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..datasets.annotation import VideoAnnotation
from ..datasets.transforms import SampleFramesByRate, VideoDecode, VideoInit
from ..utils.workers import Failure
from ..video.errors import DECODING_ERRORS, UnreadableVideoError, unreadable_reason
from ..video.guarded_reader import Decoder

__all__ = ['Checker', 'VideoFacts', 'describe_facts', 'videos_to_check']

LONG_LISTED_RATES = 5


@dataclass(frozen=True)
class VideoToCheck:
    """A video and the part of it that is used.

    Args:
        name: Its name in the annotation.
        path: Its file.
        start: Where that part begins, seconds.
        end: Where it ends, seconds.
    """

    name: str
    path: Path
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class VideoFacts:
    """Properties of a video.

    Args:
        frames: Number of frames.
        fps: Frames per second, the mean if it varies.
        seconds: Length.
        width: Pixels.
        height: Pixels.
        used_frames: Frames of a training item that are not padding.
    """

    frames: int
    fps: float
    seconds: float
    width: int
    height: int
    used_frames: int


def videos_to_check(annotations: Sequence[VideoAnnotation], folder: Path) -> list[VideoToCheck]:
    """List the videos of an annotation file with their paths."""
    videos = []
    for one in annotations:
        # MMAction2's DecordInit reads a name without extension as .mp4
        name = one.video_id if Path(one.video_id).suffix else f'{one.video_id}.mp4'
        start, end = one.fields.get('start'), one.fields.get('end')
        videos.append(VideoToCheck(one.video_id, folder / name, start, end))
    return videos


@dataclass(frozen=True)
class Checker:
    """Reads a video by the steps of a training, which decide whether it is readable.

    Args:
        min_seconds: A video that is shorter fails.
        num_frames: Frames of an item.
        decoder: Of `VideoInit`.
        timeout: Seconds for opening a video, and again for decoding its frames.
    """

    min_seconds: float = 0.0
    num_frames: int = 12
    decoder: Decoder = 'pyav'
    timeout: float = 60.0

    def __call__(self, video: VideoToCheck) -> VideoFacts | Failure:
        """Read the frames that a training reads of a video."""
        item: dict[str, Any] = dict(filename=str(video.path), start=video.start, end=video.end)
        try:
            item = VideoInit(decoder=self.decoder, timeout=self.timeout)(item)
            seconds = item['video_reader'].seconds
            item = SampleFramesByRate(num_frames=self.num_frames)(item)
            item = VideoDecode()(item)
        except UnreadableVideoError as error:
            return Failure(error.reason)
        except DECODING_ERRORS as error:
            return Failure(unreadable_reason(item['filename'], error))
        if seconds < self.min_seconds:
            return Failure(f'too short: {seconds:.2f} of {self.min_seconds:g} seconds')
        height, width = item['original_shape']
        return VideoFacts(
            frames=item['total_frames'],
            fps=item['avg_fps'],
            seconds=seconds,
            width=width,
            height=height,
            used_frames=int(item['frame_mask'].sum()),
        )


def describe_facts(facts: Sequence[VideoFacts], num_frames: int) -> list[str]:
    """Describe the rates, lengths and sizes in one line each."""
    if not facts:
        return []
    rates: dict[float, int] = {}
    for one in facts:
        rates[round(one.fps, 2)] = rates.get(round(one.fps, 2), 0) + 1
    common = sorted(rates.items(), key=lambda pair: -pair[1])
    shown = ', '.join(f'{rate:g} ({count:,})' for rate, count in common[:LONG_LISTED_RATES])
    others = sum(count for _, count in common[LONG_LISTED_RATES:])
    padded = sum(one.used_frames < num_frames for one in facts)
    return [
        f'frames per second: {shown}' + (f', others ({others:,})' if others else ''),
        f'seconds: {_spread([one.seconds for one in facts])}',
        f'frames: {_spread([one.frames for one in facts])}',
        f'shorter side, pixels: {_spread([min(one.width, one.height) for one in facts])}',
        f'videos with fewer than {num_frames} frames at one per second (padded): {padded:,}',
    ]


def _spread(values: Sequence[float]) -> str:
    return (
        f'{min(values):,.4g} to {max(values):,.4g}, mean {statistics.fmean(values):,.4g}, '
        f'median {statistics.median(values):,.4g}'
    )
