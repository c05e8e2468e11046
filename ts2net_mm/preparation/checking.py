"""Open every video of an annotation file, and say what is wrong and what they are like."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..apis.workers import Failure
from ..datasets.annotation import VideoAnnotation
from ..datasets.transforms.sample_frames import frames_by_rate
from ..video.errors import unreadable_reason

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
    """What a video is like.

    Args:
        frames: Their number.
        fps: Frames a second.
        width: Pixels.
        height: Pixels.
        used_frames: Frames at one a second of the part that is used, before thinning.
    """

    frames: int
    fps: float
    width: int
    height: int
    used_frames: int

    @property
    def seconds(self) -> float:
        """Length."""
        return self.frames / self.fps


def videos_to_check(annotations: Sequence[VideoAnnotation], folder: Path) -> list[VideoToCheck]:
    """Where the videos of an annotation file are."""
    videos = []
    for one in annotations:
        # MMAction2's DecordInit reads a name without extension as .mp4
        name = one.video_id if Path(one.video_id).suffix else f'{one.video_id}.mp4'
        start, end = one.fields.get('start'), one.fields.get('end')
        videos.append(VideoToCheck(one.video_id, folder / name, start, end))
    return videos


@dataclass(frozen=True)
class Checker:
    """Checks one video after the other.

    Args:
        min_seconds: A video that is shorter fails.
    """

    min_seconds: float = 0.0

    def __call__(self, video: VideoToCheck) -> VideoFacts | Failure:
        """Decode the first and the last frame of a video."""
        import decord

        if not video.path.exists():
            return Failure('the file does not exist')
        try:
            reader = decord.VideoReader(str(video.path), num_threads=1)
            height, width = reader[0].shape[:2]
            reader[len(reader) - 1]
            fps = reader.get_avg_fps()
        except Exception as error:
            return Failure(unreadable_reason(str(video.path), error))
        if not fps > 0:
            return Failure(f'it states {fps:g} frames a second')
        used = frames_by_rate(len(reader), fps, start=video.start, end=video.end)
        facts = VideoFacts(len(reader), fps, width, height, len(used))
        if not len(used):
            return Failure(
                f'too short: no frames between {video.start} and {video.end} seconds, it has '
                f'{facts.seconds:.2f}'
            )
        if facts.seconds < self.min_seconds:
            return Failure(f'too short: {facts.seconds:.2f} of {self.min_seconds:g} seconds')
        return facts


def describe_facts(facts: Sequence[VideoFacts], num_frames: int) -> list[str]:
    """Statistics of rate and length, one line each."""
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
        f'frames a second: {shown}' + (f', others ({others:,})' if others else ''),
        f'seconds: {_spread([one.seconds for one in facts])}',
        f'frames: {_spread([one.frames for one in facts])}',
        f'shorter side, pixels: {_spread([min(one.width, one.height) for one in facts])}',
        f'videos with less than {num_frames} frames at one a second, which are padded: {padded:,}',
    ]


def _spread(values: Sequence[float]) -> str:
    return (
        f'{min(values):,.4g} to {max(values):,.4g}, mean {statistics.fmean(values):,.4g}, '
        f'median {statistics.median(values):,.4g}'
    )
