"""Open and decode videos by presentation time, in MMAction2's two steps."""

from typing import get_args

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...video import GuardedVideoReader
from ...video.guarded_reader import Decoder

__all__ = ['VideoDecode', 'VideoInit']


@TRANSFORMS.register_module()
class VideoInit(BaseTransform):
    """Open a video in a helper process, which also decodes the frames for `VideoDecode`.

    It stands where ``DecordInit`` stands. A damaged video may crash a decoder or keep it busy for
    ever, and no signal ends that. Here it ends the helper; the video counts as unreadable, and the
    worker continues with a new helper. It costs one process and two file handles a worker. Videos
    are read from disk only.

    Required key: filename. Added keys: video_reader, total_frames, avg_fps; frame_times where
    the frames do not follow each other at a constant rate: when each is shown and when the last one
    ends, seconds, (total_frames + 1,) float64.

    Args:
        decoder: 'pyav' finds frames by presentation time; 'decord' counts them, as MMAction2 does.
        timeout: Seconds for opening a video, and again for decoding its frames.
        num_threads: Threads of the decoder; 0 for one a core.
        square_pixels: Show pixels that are not square as players do; 'pyav' only.

    Raises:
        ValueError: If a setting makes no sense.
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
        """Open the video of one item."""
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

    Required keys: video_reader, frame_inds. Added keys: imgs (list of (H, W, 3) uint8, RGB),
    original_shape, img_shape. The reader is taken out.
    """

    def transform(self, results: dict) -> dict:
        """Decode the frames of one item."""
        reader = results.pop('video_reader')
        results['frame_inds'] = np.ravel(results['frame_inds'])
        frames = reader.get_batch(results['frame_inds']).asnumpy()
        results['imgs'] = list(frames)
        results['original_shape'] = results['img_shape'] = frames.shape[1:3]
        return results

    def __repr__(self) -> str:
        """Show the name."""
        return f'{type(self).__name__}()'
