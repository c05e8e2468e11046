"""MMAction2's DecordInit, safe from videos that hang or crash the decoder."""

from mmaction.datasets.transforms import DecordInit
from mmaction.registry import TRANSFORMS

from ...video import GuardedVideoReader

__all__ = ['GuardedDecordInit']


@TRANSFORMS.register_module()
class GuardedDecordInit(DecordInit):
    """Open a video in a helper process, which also does the decoding of ``DecordDecode``.

    A damaged video may crash decord or keep it busy for ever, and no signal ends that. Here it ends
    the helper; the video counts as unreadable, and the worker goes on with a new helper. It costs
    one process and two file handles a worker. Videos are read from disk only.

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
