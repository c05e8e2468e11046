"""Find the videos of a test and read a few frames of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ts2net_mm.apis import find_videos
from ts2net_mm.apis.reading import VIDEO_TIMEOUT, Frame, FrameReader
from ts2net_mm.datasets.annotation import VideoAnnotation
from ts2net_mm.utils.workers import Failure, map_in_workers

__all__ = ['Clip', 'locate', 'read_strips']

FRAMES_A_SECOND = 4
STRIP_HEIGHT = 120


@dataclass(frozen=True)
class Clip:
    """A video file or a part of it.

    Args:
        video_id: Name in the test.
        path: Path of the file.
        start: Start of the part, seconds; None for the start of the video.
        end: End of the part, seconds; None for the end of the video.
    """

    video_id: str
    path: str
    start: float | None = None
    end: float | None = None


class TakePart:
    """Transform that sets the part of the video from which frames are sampled."""

    def __init__(self, *, start: float | None, end: float | None) -> None:
        self.part = dict(start=start, end=end)

    def __call__(self, results: dict) -> dict:
        """Add ``start`` and ``end``."""
        return results | self.part


class ClipReader:
    """Decode a few evenly spaced frames of a part of a video."""

    def __init__(self, *, num_frames: int) -> None:
        self.num_frames = num_frames

    def __call__(self, clip: Clip) -> list[Frame] | Failure:
        """Return the frames in their order."""
        sampling = dict(num_frames=self.num_frames, frame_rate=FRAMES_A_SECOND)
        reader = FrameReader(
            pipeline=[
                dict(type=TakePart, start=clip.start, end=clip.end),
                dict(type='VideoInit', square_pixels=True),
                dict(type='SampleFramesByRate', **sampling),
                dict(type='VideoDecode'),
            ],
            max_frames=self.num_frames,
            max_height=STRIP_HEIGHT,
        )
        return reader(clip.path)


def locate(
    folder: Path, video_ids: Iterable[str], annotations: Mapping[str, VideoAnnotation]
) -> dict[str, Clip | Failure]:
    """Find the file of each video: by its path in the folder, else by its name in any sub-folder.

    A name without an extension, or with another extension than the file, matches by its stem.

    Raises:
        FileNotFoundError: If the folder does not exist.
        NotADirectoryError: If it is a file.
    """
    by_stem: dict[str, list[Path]] = {}
    for video in find_videos(folder):
        by_stem.setdefault(video.path.stem, []).append(video.path)
    clips: dict[str, Clip | Failure] = {}
    for video_id in video_ids:
        found = [folder / video_id] if (folder / video_id).is_file() else []
        found = found or by_stem.get(video_id, []) or by_stem.get(Path(video_id).stem, [])
        if len(found) != 1:
            why = f'{len(found)} files in {folder} have its name' if found else f'not in {folder}'
            clips[video_id] = Failure(why)
            continue
        fields = annotations[video_id].fields if video_id in annotations else {}
        clips[video_id] = Clip(video_id, str(found[0]), fields.get('start'), fields.get('end'))
    return clips


def read_strips(
    clips: Mapping[str, Clip | Failure], *, num_frames: int, num_workers: int | None
) -> dict[str, list[Frame] | Failure]:
    """Read the frames of each video, or why there are none."""
    strips: dict[str, list[Frame] | Failure] = {
        video_id: clip for video_id, clip in clips.items() if isinstance(clip, Failure)
    }
    found = [clip for clip in clips.values() if isinstance(clip, Clip)]
    reader = ClipReader(num_frames=num_frames)
    read = map_in_workers(reader, found, num_workers=num_workers, timeout=VIDEO_TIMEOUT)
    strips.update({clip.video_id: strip for clip, strip in read})
    return strips
