"""The program that decodes: ``python decoder_program.py SOCKET MEMORY``, two file descriptors.

It is started by its path, so that it imports decord and NumPy and nothing else: 0.2 seconds instead
of many.
"""

import ctypes
import io
import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

import decord
from frame_memory import FrameMemory

__all__: list[str] = []

PR_SET_PDEATHSIG = 1  # Linux: signal to get when the parent dies


class Decoder:
    """Answers requests about one video after the other, the open one at hand."""

    def __init__(self, memory: FrameMemory) -> None:
        self.memory = memory
        self.filename = ''
        self.reader: Any = None

    def answer(self, filename: str, num_threads: int, method: str, arguments: tuple) -> Any:
        """Call a method of decord's reader; frames go to the shared memory, their shape back."""
        if method == 'open' or filename != self.filename:
            self._open(filename, num_threads)
        if method == 'open':
            return len(self.reader), self.reader.get_avg_fps()
        result = getattr(self.reader, method)(*arguments)
        return result if result is None else self.memory.write(result.asnumpy())

    def _open(self, filename: str, num_threads: int) -> None:
        self.filename, self.reader = '', None
        # as MMAction2's DecordInit does
        with open(filename, 'rb') as file:
            content = io.BytesIO(file.read())
        self.reader = decord.VideoReader(content, num_threads=num_threads)
        self.filename = filename


def main(connection: Connection, memory: FrameMemory) -> None:
    """Answer until the other side hangs up."""
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
            answer = error
        try:
            message = pickle.dumps(answer)
        except Exception:
            message = pickle.dumps(RuntimeError(f'{type(answer).__name__}: {answer}'))
        connection.send_bytes(message)


if __name__ == '__main__':
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Below Python, decord prints the whole content of a file that it cannot open.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    main(Connection(int(sys.argv[1])), FrameMemory(int(sys.argv[2])))
