"""Open a video or a folder of frames, and decode the sampled frames."""

import os
from typing import get_args

import numpy as np
from mmaction.datasets.transforms import DecordInit
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...video import GuardedVideoReader
from ...video.errors import UnreadableVideoError
from ...video.guarded_reader import Decoder
from ...video.video_files import FILENAME_TEMPLATE, frame_numbers

__all__ = ['FrameFolderInit', 'GuardedDecordInit', 'VideoDecode', 'VideoInit']


@TRANSFORMS.register_module()
class VideoInit(BaseTransform):
    """Open a video in a helper process, which also decodes the frames for `VideoDecode`.

    Replaces MMAction2's ``DecordInit``. A damaged video may crash a decoder or make it hang in a
    call that no signal interrupts. Here only the helper process ends: the video counts as
    unreadable, and the worker continues with a new helper. Each worker needs one more process and
    two more file handles. Videos are read from disk only.

    Required key: filename. Added keys: video_reader, total_frames, avg_fps; for a variable frame
    rate also frame_times: when each frame is shown and when the last one ends, seconds,
    (total_frames + 1,) float64.

    Args:
        decoder: 'pyav' finds frames by presentation time; 'decord' counts frames, as MMAction2
            does.
        timeout: Seconds for opening a video, and again for decoding its frames.
        num_threads: Threads of the decoder; 0 for one per core.
        square_pixels: Show pixels that are not square as players do; 'pyav' only.

    Raises:
        ValueError: If a setting is out of range, or ``square_pixels`` is used with decord.
    """

    def __init__(
        self,
        *,
        decoder: Decoder = 'pyav',
        timeout: float = 60.0,
        num_threads: int = 1,
        square_pixels: bool = False,
    ) -> None:
        if decoder not in get_args(Decoder):
            raise ValueError(f'decoder={decoder!r} is unknown, choose one of {get_args(Decoder)}')
        if timeout <= 0 or num_threads < 0:
            raise ValueError(
                f'timeout={timeout} must be positive and num_threads={num_threads} at least 0'
            )
        if square_pixels and decoder == 'decord':
            raise ValueError("square_pixels=True needs decoder='pyav'")
        self.decoder: Decoder = decoder
        self.timeout = timeout
        self.num_threads = num_threads
        self.square_pixels = square_pixels

    def transform(self, results: dict) -> dict:
        """Open the video of an item."""
        reader = GuardedVideoReader(
            results['filename'],
            decoder=self.decoder,
            timeout=self.timeout,
            num_threads=self.num_threads,
            square_pixels=self.square_pixels,
        )
        results['video_reader'] = reader
        results['total_frames'] = len(reader)
        results['avg_fps'] = reader.get_avg_fps()
        if reader.times is not None:
            results['frame_times'] = reader.times
        return results

    def __repr__(self) -> str:
        """Show the settings."""
        return (
            f'{type(self).__name__}(decoder={self.decoder!r}, timeout={self.timeout:g}, '
            f'num_threads={self.num_threads}, square_pixels={self.square_pixels})'
        )


@TRANSFORMS.register_module()
class VideoDecode(BaseTransform):
    """Decode the sampled frames of a video that `VideoInit` has opened.

    Required keys: video_reader (removed), frame_inds. Added keys: imgs (list of (H, W, 3) uint8,
    RGB), original_shape, img_shape.
    """

    def transform(self, results: dict) -> dict:
        """Decode the frames of an item."""
        reader = results.pop('video_reader')
        results['frame_inds'] = np.ravel(results['frame_inds'])
        frames = reader.get_batch(results['frame_inds']).asnumpy()
        results['imgs'] = list(frames)
        results['original_shape'] = results['img_shape'] = frames.shape[1:3]
        return results

    def __repr__(self) -> str:
        """Show the name."""
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class GuardedDecordInit(DecordInit):
    """MMAction2's ``DecordInit`` with the helper process of `VideoInit`, for ``DecordDecode``.

    Required key: filename. Added keys: video_reader, total_frames, avg_fps.

    Args:
        timeout: Seconds for opening a video, and again for decoding its frames.
        num_threads: Threads of the decoder.

    Raises:
        ValueError: If a setting is not positive.
    """

    def __init__(self, *, timeout: float = 60.0, num_threads: int = 1) -> None:
        if timeout <= 0 or num_threads < 1:
            raise ValueError(
                f'timeout={timeout} must be positive and num_threads={num_threads} at least 1'
            )
        super().__init__(num_threads=num_threads)
        self.timeout = timeout

    def _get_video_reader(self, filename: str) -> GuardedVideoReader:
        return GuardedVideoReader(
            filename, decoder='decord', num_threads=self.num_threads, timeout=self.timeout
        )

    def __repr__(self) -> str:
        """Show the settings."""
        return f'{type(self).__name__}(timeout={self.timeout:g}, num_threads={self.num_threads})'


@TRANSFORMS.register_module()
class FrameFolderInit(BaseTransform):
    """Use a folder of numbered pictures as a video; MMAction2's ``RawFrameDecode`` reads them.

    The numbers may start anywhere but must not have gaps.

    Required keys: filename (the folder); optional: fps. Added keys: total_frames, avg_fps,
    frame_dir, filename_tmpl, offset, modality.

    Args:
        fps: Pictures per second of video. A field ``fps`` in the annotation of a video overrides
            it.
        filename_tmpl: Name of a picture, with its number in braces.

    Raises:
        UnreadableVideoError: If the folder has no such pictures, or there are gaps.
        ValueError: If a setting is invalid, or the frame rate is neither set nor annotated.
    """

    def __init__(self, *, fps: float | None = None, filename_tmpl: str = FILENAME_TEMPLATE) -> None:
        if fps is not None and not fps > 0:
            raise ValueError(f'fps={fps} must be positive')
        try:
            is_numbered = filename_tmpl.format(1) != filename_tmpl.format(2)
        except (IndexError, KeyError, ValueError):
            is_numbered = False
        if not is_numbered or os.path.basename(filename_tmpl) != filename_tmpl:
            raise ValueError(
                f'filename_tmpl={filename_tmpl!r}, expected a file name with the number in braces, '
                f'such as {FILENAME_TEMPLATE!r}'
            )
        self.fps = fps
        self.filename_tmpl = filename_tmpl

    def transform(self, results: dict) -> dict:
        """Count the pictures of the folder."""
        folder = results['filename']
        fps = results.get('fps', self.fps)
        if not isinstance(fps, int | float) or isinstance(fps, bool) or not fps > 0:
            raise ValueError(
                f'the frame rate of {folder} is {fps!r}, expected a positive number: set fps of '
                'FrameFolderInit, or a field "fps" in the annotation of the video'
            )
        names = os.listdir(folder)
        numbers = frame_numbers(names, self.filename_tmpl)
        if not numbers:
            example = self.filename_tmpl.format(1)
            found = f'it holds {min(names)}' if names else 'it is empty'
            raise UnreadableVideoError.from_reason(
                folder, f'no picture is named like {example}, {found}'
            )
        missing = set(range(numbers[0], numbers[-1])).difference(numbers)
        if missing:
            first = self.filename_tmpl.format(min(missing))
            raise UnreadableVideoError.from_reason(
                folder, f'{len(missing)} pictures are missing, the first is {first}'
            )
        results['total_frames'] = len(numbers)
        results['avg_fps'] = float(fps)
        results['frame_dir'] = folder
        results['filename_tmpl'] = self.filename_tmpl
        results['offset'] = numbers[0]
        results['modality'] = 'RGB'
        return results

    def __repr__(self) -> str:
        """Show the settings."""
        return f'{type(self).__name__}(fps={self.fps}, filename_tmpl={self.filename_tmpl!r})'
