"""The decoding process: ``python decoder_program.py SOCKET MEMORY``, two file descriptors.

It is started by its path and imports its neighbours by file name, so that it loads a decoder and
NumPy but not the package: it starts in 0.2 seconds instead of many.
"""

import ctypes
import io
import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from frame_memory import FrameMemory

__all__: list[str] = []

PR_SET_PDEATHSIG = 1  # Linux: signal to get when the parent dies


class Decoder:
    """Answers requests about one video after the other, and keeps the last one open."""

    def __init__(self, memory: FrameMemory) -> None:
        self.memory = memory
        self.opening: tuple | None = None
        self.reader: Any = None

    def answer(self, opening: tuple, method: str, arguments: tuple) -> Any:
        """Call a method of the reader; write frames to the shared memory and return their shape.

        Args:
            opening: Decoder and arguments of the reader, which identify an open video.
            method: 'open', or the name of a method.
            arguments: Its arguments.
        """
        if method == 'open' or opening != self.opening:
            if isinstance(self.reader, _PyAVReader):
                self.reader.reader.close()
            self.opening, self.reader = None, None
            kind, *arguments_of_open = opening
            self.reader = _OPENERS[kind](*arguments_of_open)
            self.opening = opening
        if method == 'open':
            return len(self.reader), self.reader.get_avg_fps(), getattr(self.reader, 'times', None)
        result = getattr(self.reader, method)(*arguments)
        if result is None or isinstance(result, dict):
            return result
        return self.memory.write(result if isinstance(result, np.ndarray) else result.asnumpy())


def _open_with_decord(filename: str, num_threads: int, square_pixels: bool) -> Any:
    import decord

    # as MMAction2's DecordInit does
    with open(filename, 'rb') as file:
        content = io.BytesIO(file.read())
    return decord.VideoReader(content, num_threads=num_threads)


class _PyAVReader:
    """A `VideoReader` with the methods of decord's."""

    def __init__(self, filename: str, num_threads: int, square_pixels: bool) -> None:
        from reader import VideoReader

        self.reader = VideoReader(filename, num_threads=num_threads, square_pixels=square_pixels)
        self.times = self.reader.uneven_times
        self.position = 0

    def __len__(self) -> int:
        return len(self.reader)

    def get_avg_fps(self) -> float:
        return self.reader.rate

    def get_batch(self, numbers: Any) -> np.ndarray:
        return self.reader.get_frames(numbers)

    def seek(self, number: int) -> None:
        self.position = number

    def next(self) -> np.ndarray:
        self.position += 1
        return self.reader.get_frames([self.position - 1])[0]


def _explain(error: Exception) -> Any:
    """Return ``{'unreadable': reason}`` if the video caused an error of PyAV, else the error."""
    if type(error).__name__ == 'NoFramesError':
        return {'unreadable': str(error)}
    if isinstance(error, OSError | ImportError | IndexError):
        return error
    return {'unreadable': f'it is damaged: its decoder failed ({type(error).__name__}: {error})'}


_OPENERS = {'decord': _open_with_decord, 'pyav': _PyAVReader}


def main(connection: Connection, memory: FrameMemory) -> None:
    """Answer requests until the other side closes the connection."""
    decoder = Decoder(memory)
    connection.send('ready')
    while True:
        try:
            request = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            answer = decoder.answer(*request)
        except Exception as error:
            answer = _explain(error) if request[0][0] == 'pyav' else error
        try:
            message = pickle.dumps(answer)
        except Exception:
            message = pickle.dumps(RuntimeError(f'{type(answer).__name__}: {answer}'))
        connection.send_bytes(message)


if __name__ == '__main__':
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # decord's C++ code prints the whole content of a file that it cannot open
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    main(Connection(int(sys.argv[1])), FrameMemory(int(sys.argv[2])))
