"""The steps of a pipeline whose results a frame store keeps, so that they run only once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from mmaction.datasets.transforms import DecordInit, Resize
from mmaction.registry import TRANSFORMS

from ..utils.config_types import type_name
from .frame_store import (
    FrameStoreDecode,
    FrameStoreError,
    FrameStoreInit,
    StoredVideo,
    describe_difference,
)
from .transforms import (
    CLIPResize,
    FrameFolderInit,
    SampleFramesByRate,
    VideoInit,
    frames_by_rate,
    frames_by_time,
)

__all__ = ['StoredSteps', 'check_frame_stores', 'decoding_pipeline', 'reads_folders']

Step: TypeAlias = Any  # a config, or a callable


def decoding_pipeline(pipeline: Sequence[Step]) -> list[Step]:
    """Replace the steps that read a frame store by those that decode the video files."""
    steps = list(pipeline)
    openings = [step for step in steps if _is_type(step, FrameStoreInit)]
    if openings:
        kinds = (FrameStoreInit, FrameStoreDecode)
        for kind, decoding in zip(kinds, _build(openings[0]).decoding, strict=True):
            steps = [decoding if _is_type(step, kind) else step for step in steps]
    return steps


def reads_folders(pipeline: Sequence[Step]) -> bool:
    """Tell whether videos are folders of pictures, stored or not."""
    return any(_is_type(step, FrameFolderInit) for step in decoding_pipeline(pipeline))


def _is_type(step: Step, kind: type) -> bool:
    return isinstance(step, kind) or type_name(step) == kind.__name__


def _build(step: Step) -> Any:
    return TRANSFORMS.build(step) if isinstance(step, dict) else step


@dataclass(frozen=True)
class StoredSteps:
    """The first steps of a pipeline: how a video is opened, sampled, decoded and resized.

    Args:
        opening: Finds the number of frames and their rate.
        sampling: Chooses frames.
        decoding: Decodes them.
        resizing: Resizes them without randomness, such that repeating it changes nothing; None if
            the step after decoding is of another kind.
    """

    opening: Any
    sampling: Any
    decoding: Any
    resizing: Any

    @classmethod
    def from_pipeline(cls, pipeline: Sequence[Step]) -> 'StoredSteps':
        """Build the first steps of a pipeline, with decoding in place of a frame store.

        Raises:
            ValueError: If the first three steps are not opening, sampling and decoding.
        """
        transforms = [_build(step) for step in decoding_pipeline(pipeline)]
        names = [type(transform).__name__ for transform in transforms]
        if len(names) < 3 or not (names[0].endswith('Init') and names[2].endswith('Decode')):
            raise ValueError(
                'a frame store needs a pipeline that starts with opening, sampling and decoding, '
                f'such as VideoInit, SampleFramesByRate, VideoDecode; found {names[:4]}'
            )
        opening, sampling, decoding = transforms[:3]
        return cls(opening, sampling, decoding, _repeatable_resizing(transforms[3:]))

    @property
    def settings(self) -> dict[str, Any]:
        """What the pixels of the stored frames depend on."""
        opening = type(self.opening).__name__
        if isinstance(self.opening, DecordInit):
            opening = DecordInit.__name__  # the guard and its time limit change no frame
        elif isinstance(self.opening, VideoInit):
            opening += f'({self.opening.decoder}, square_pixels={self.opening.square_pixels})'
        elif isinstance(self.opening, FrameFolderInit):
            opening = repr(self.opening)
        return dict(
            opening=opening,
            decoding=repr(self.decoding),
            resizing=repr(self.resizing),
        )

    def needed_frames(self, video: StoredVideo) -> np.ndarray | None:
        """Return the numbers of the frames that the sampling can ask for, or None for all."""
        total_frames, avg_fps = video.total_frames, video.avg_fps
        if isinstance(self.sampling, SampleFramesByRate):
            rate = self.sampling.frame_rate
            if video.times is not None:
                return np.unique(frames_by_time(np.array(video.times), frame_rate=rate))
            if avg_fps is None:
                opening = type(self.opening).__name__
                raise ValueError(f'SampleFramesByRate needs avg_fps, which {opening} does not give')
            return frames_by_rate(total_frames, avg_fps, frame_rate=rate)
        if not getattr(self.sampling, 'test_mode', False):
            return None
        results = dict(total_frames=total_frames, avg_fps=avg_fps, start_index=0)
        return np.unique(self.sampling(results)['frame_inds'])


def _repeatable_resizing(transforms: Sequence[Any]) -> Any:
    """Return the first step, without its crop, if repeating it on stored frames changes nothing."""
    first: Any = transforms[0] if transforms else None
    if isinstance(first, CLIPResize):
        return CLIPResize(size=first.size, crop=False)
    # a factor would apply twice
    if type(first) is Resize and not first.lazy and not isinstance(first.scale, float):
        return first
    return None


def check_frame_stores(
    pipeline: Sequence[Step], transforms: Sequence[Any], paths: Mapping[str, str]
) -> set[str]:
    """Check that the frame store of a pipeline, if any, holds everything the pipeline will read.

    Args:
        pipeline: Configs of the transforms.
        transforms: The same transforms, built; ``FrameStoreInit`` keeps the entries of the videos.
        paths: File of each video, by its name.

    Returns:
        Names of the stored videos, whose files need not exist.

    Raises:
        FrameStoreError: If the store was made with other settings, or lacks videos or frames.
    """
    openings = [step for step in transforms if isinstance(step, FrameStoreInit)]
    if not openings:
        return set()
    opening, steps = openings[0], StoredSteps.from_pipeline(pipeline)
    found = {key: opening.store.settings.get(key) for key in steps.settings}
    if found != steps.settings:
        raise FrameStoreError(
            f'the frame store {opening.db_path} was made with '
            f'{describe_difference(found, steps.settings)}; make another one with '
            'tools/data/store_frames.py'
        )
    return opening.check_videos(paths, steps.needed_frames)
