"""Read videos in a helper process, which is killed when a video makes it hang."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .errors import DecoderEndedError, UnreadableVideoError
from .frame_memory import FrameMemory

__all__ = ['Decoder', 'DecoderStartError', 'GuardedVideoReader']

Decoder = Literal['pyav', 'decord']

PROGRAM = Path(__file__).with_name('decoder_program.py')
START_TIMEOUT = 120.0
KILL_TIMEOUT = 5.0


class DecoderStartError(Exception):
    """The decoding process does not start, which no video causes."""


class GuardedVideoReader:
    """A video that is read in a helper process, so that a hang or a crash ends only that process.

    It has the methods of ``decord.VideoReader`` that MMAction2's ``DecordDecode`` calls. Each
    thread has one helper for all its videos.

    Args:
        filename: Path of the video.
        decoder: 'pyav' reads by presentation time, see `VideoReader`; 'decord' counts frames.
        num_threads: Threads of the decoder; 0 for one per core.
        timeout: Seconds for opening the video, and again for each call.
        square_pixels: Show pixels that are not square as players do; 'pyav' only.

    Attributes:
        times: When each of the N frames is shown, and when the last one ends, seconds: (N + 1,)
            float64. None for a constant rate from the start, and with decord, which does not tell.

    Raises:
        DecoderEndedError: If the video crashes the decoder or takes too long; all methods do so
            too.
        DecoderStartError: If the helper does not start.
        UnreadableVideoError: If PyAV cannot read the video; all methods do so too.
    """

    def __init__(
        self,
        filename: str,
        *,
        decoder: Decoder = 'pyav',
        num_threads: int = 1,
        timeout: float = 60.0,
        square_pixels: bool = False,
    ) -> None:
        self.filename = filename
        self.num_threads = num_threads
        self.timeout = timeout
        # absolute, because the helper stays in the folder in which it was started
        self._opening = (decoder, os.path.abspath(filename), num_threads, square_pixels)
        self._num_frames, self._avg_fps, self.times = self._call('open')

    def __len__(self) -> int:
        """Return the number of frames."""
        return self._num_frames

    def get_avg_fps(self) -> float:
        """Return the frames per second."""
        return self._avg_fps

    @property
    def seconds(self) -> float:
        """Time at which the last frame ends."""
        return len(self) / self._avg_fps if self.times is None else float(self.times[-1])

    def get_batch(self, indices: Sequence[int] | np.ndarray) -> '_Frames':
        """Decode frames by their numbers: (N, H, W, 3)."""
        return self._frames('get_batch', np.asarray(indices))

    def seek(self, index: int) -> None:
        """Seek to the key frame before a frame."""
        self._call('seek', int(index))

    def next(self) -> '_Frames':
        """Decode the next frame: (H, W, 3)."""
        return self._frames('next')

    def _frames(self, method: str, *arguments: Any) -> '_Frames':
        shape = self._call(method, *arguments)
        return _Frames(_helper().memory.read(shape))

    def _call(self, method: str, *arguments: Any) -> Any:
        answer = _helper().ask((self._opening, method, arguments), self.timeout)
        if isinstance(answer, dict):
            raise UnreadableVideoError.from_reason(self.filename, answer['unreadable'])
        return answer


class _Frames:
    """Has the interface of decord's arrays."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def asnumpy(self) -> np.ndarray:
        return self._array


class _Helper:
    """A process that runs `decoder_program`, and the memory to which it writes frames."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.memory = FrameMemory(_shared_file())
        descriptor = self.memory.descriptor
        ours, theirs = socket.socketpair()
        with theirs:
            # a session of its own, so that Ctrl-C reaches only this process, which then ends it
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), str(theirs.fileno()), str(descriptor)],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), descriptor),
                start_new_session=True,
                env=os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
            )
        self.connection = Connection(ours.detach())
        self.end = weakref.finalize(
            self, _end, self.process, self.connection, descriptor, self.owner
        )
        try:
            self._receive(START_TIMEOUT)
        except DecoderEndedError as end:
            raise DecoderStartError(f'the decoding process does not start: {end}') from None

    def is_ours(self) -> bool:
        """Tell whether it is alive and was started by this process, not by the parent of a fork."""
        return self.end.alive and self.owner == os.getpid() and self.process.poll() is None

    def ask(self, request: tuple, timeout: float) -> Any:
        """Return the answer, or raise what the decoder raised."""
        try:
            self.connection.send(request)
            answer = self._receive(timeout)
        except OSError:
            raise self._crashed() from None
        except BaseException:
            self.end()  # after Ctrl-C, the next request must not get this one's answer
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _receive(self, timeout: float) -> Any:
        try:
            if self.connection.poll(timeout):
                return self.connection.recv()
        except (EOFError, OSError):
            raise self._crashed() from None
        self.end()
        raise DecoderEndedError(f'no answer within {timeout:g} seconds')

    def _crashed(self) -> DecoderEndedError:
        self.end()
        return DecoderEndedError('the decoder crashed on it')


def _end(process: subprocess.Popen, connection: Connection, descriptor: int, owner: int) -> None:
    """Kill a helper, which may ignore all other signals, and close its files."""
    if owner == os.getpid():
        process.kill()
        # a process that waits for a dead disk cannot be killed; do not wait for it
        with suppress(subprocess.TimeoutExpired):
            process.wait(KILL_TIMEOUT)
    else:
        process.returncode = 0  # its owner waits for it; Popen must not warn here
    connection.close()
    os.close(descriptor)


_local = threading.local()


def _helper() -> _Helper:
    """Return the helper of this thread; start one at first, after a fork and after a crash."""
    helper = getattr(_local, 'helper', None)
    if helper is None or not helper.is_ours():
        helper = _local.helper = _Helper()
    return helper


def _shared_file() -> int:
    """Return the descriptor of an empty file without a name, in memory if the system can."""
    if hasattr(os, 'memfd_create'):
        return os.memfd_create('frames')
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
