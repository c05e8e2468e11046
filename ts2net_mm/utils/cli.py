"""Shared parts of command lines: arguments, exit codes, one-line errors, signals."""

import argparse
import io
import math
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from .text import has_words

__all__ = [
    'FAILED',
    'INTERRUPTED',
    'READER_GONE',
    'TERMINATED',
    'Terminated',
    'WrongArgumentError',
    'add_config_arguments',
    'expecting',
    'hold_termination',
    'is_missing_weights',
    'key_value',
    'parse_config_arguments',
    'positive_float',
    'positive_int',
    'received_signal',
    'require_packages',
    'require_path',
    'run',
    'seconds',
    'sentence',
]

# exit codes; a shell uses the same ones for signals
FAILED = 1
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
READER_GONE = 128 + 13  # SIGPIPE, which Windows does not have
SHOW_TRACEBACKS = 'TS2NET_MM_TRACEBACK'  # environment variable


class WrongArgumentError(ValueError):
    """An argument conflicts with other arguments, the config or the machine."""


class Terminated(BaseException):
    """SIGTERM was received, which Slurm sends before SIGKILL."""


class _Signals:
    """Turns SIGINT and SIGTERM into exceptions, and remembers which was received.

    Some libraries catch everything (``except:``) and raise another error, so the exception alone
    does not show that Ctrl-C caused it.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.holds_termination = False
        self._process: int | None = None
        self._before: dict[int, Any] = {}
        self._unraisable: Callable[[Any], Any] = sys.unraisablehook
        self._excepthook: Callable[..., Any] = sys.excepthook
        self._again: threading.Timer | None = None

    def install(self) -> None:
        """Handle the signals, except those that this process was started to ignore."""
        self.received, self.holds_termination, self._process = None, False, os.getpid()
        self._again = None
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread gets signals
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._take)
        self._unraisable = sys.unraisablehook
        sys.unraisablehook = self._repeat_unraisable
        self._excepthook = sys.excepthook
        sys.excepthook = self._hide_lost_peers

    def ignore(self) -> None:
        """Ignore further signals while the command ends: a launcher may send the same again."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)
        if self.received is not None:
            self._accept_end_of_children()
        if self._again is not None:  # it must not fire after `restore`
            self._again.cancel()
            self._again.join()

    def restore(self) -> None:
        """Restore the previous handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            sys.unraisablehook = self._unraisable
            sys.excepthook = self._excepthook
        self._before = {}

    def _repeat_unraisable(self, args: Any) -> None:
        """Send the signal again where Python would only print it: in callbacks and destructors."""
        if self.received is None:
            self._unraisable(args)
        elif isinstance(args.exc_value, KeyboardInterrupt | Terminated):
            # later and from a thread, because here the exception would be lost again
            self._again = threading.Timer(0.02, os.kill, (os.getpid(), self.received))
            self._again.daemon = True
            self._again.start()
        # Otherwise the command is ending, and a destructor misses something that ended before it,
        # such as the workers of a data loader, which got the same Ctrl-C.

    def _hide_lost_peers(self, kind: type[BaseException], *error: Any) -> None:
        """Hide the error of a forked helper whose data this process no longer receives.

        Ctrl-C can cause it in the thread that sends the tensors of a loader worker.
        """
        if os.getpid() == self._process or not issubclass(kind, ConnectionError | EOFError):
            self._excepthook(kind, *error)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked helper ends silently
            os._exit(128 + number)
        self.received = number
        if number == signal.SIGTERM and self.holds_termination:
            return
        self._accept_end_of_children()
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    def _accept_end_of_children(self) -> None:
        """Replace torch's SIGCHLD handler, because the signal ends loader workers as well.

        Its handler would raise wherever the main thread is, even in exit functions.
        """
        if sys.platform == 'win32' or not self._before:
            return
        if callable(signal.getsignal(signal.SIGCHLD)):
            signal.signal(signal.SIGCHLD, lambda number, frame: None)


_signals = _Signals()


def received_signal() -> int | None:
    """Return the signal received since `run` began, held or not, or None."""
    return _signals.received


def hold_termination(hold: bool = True) -> None:
    """Only record SIGTERM; the caller checks `received_signal` and raises `Terminated`."""
    _signals.holds_termination = hold


def expecting(*kinds: type[Exception]) -> Callable[[BaseException], str | None]:
    """Return an ``explain`` function for `run` that prints only the message of these errors."""
    return lambda error: str(error) if isinstance(error, kinds) else None


_WRONG_INPUT = expecting(OSError, ValueError)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that MMAction2's tools share.

    They are parsed without MMEngine, so ``--cfg-options`` gives a list of ``KEY=VALUE``.
    """
    parser.add_argument('config', type=Path, help='config file')
    parser.add_argument(
        '--work-dir', help='folder for logs, checkpoints and results (default: work_dirs/<config>)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        type=key_value,
        action='extend',
        metavar='KEY=VALUE',
        help='settings that replace those of the config, e.g. model.neck.topk=5 '
        'train_cfg.max_epochs=1; a list is written key="[a,b]" or key=a,b',
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='how the processes of a distributed run were started (default: none)',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def parse_config_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line; a missing config is a usage error."""
    args = parser.parse_args()
    if not args.config.is_file():
        parser.error(f'config {args.config} does not exist')
    return args


def is_missing_weights(name: str | Path) -> bool:
    """Return whether weights are a path that does not exist; URLs and ViT-B/32 are no paths."""
    text = str(name)
    if '://' in text or text.startswith('ViT-'):
        return False
    return not Path(text).expanduser().exists()


def require_path(kind: str, path: str | Path) -> None:
    """Raise an error for a path that does not exist, before the imports that take seconds.

    Raises:
        FileNotFoundError: If it does not exist.
    """
    if not Path(path).expanduser().exists():
        raise FileNotFoundError(f'{kind} {path} does not exist')


def require_packages(what: str, names: Sequence[str], extra: str) -> None:
    """Raise an error for packages that are not installed.

    Args:
        what: What needs them.
        names: The packages.
        extra: The extra that installs them.

    Raises:
        ValueError: If one is missing.
    """
    if missing := [name for name in names if find_spec(name) is None]:
        raise ValueError(
            f"{what} needs {', '.join(missing)}: pip install 'ts2net-mm[{extra}]', or in a copy of "
            f"the repository pip install -e '.[{extra}]'"
        )


def positive_int(text: str) -> int:
    """Argument type: a whole number of at least 1."""
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number of at least 1')
    return value


def positive_float(text: str) -> float:
    """Argument type: a finite number above 0."""
    if not (value := _finite(text)) or value < 0:
        raise argparse.ArgumentTypeError(f'{text!r} is not a positive number')
    return value


def seconds(text: str) -> float:
    """Argument type: a finite number of at least 0."""
    if (value := _finite(text)) is None or value < 0:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of seconds')
    return value


def sentence(text: str) -> str:
    """Argument type: a text with at least one word."""
    if not has_words(text):
        raise argparse.ArgumentTypeError(f'the sentence {text!r} has no word')
    return text


def key_value(text: str) -> str:
    """Argument type: ``KEY=VALUE``."""
    key, equals, _ = text.partition('=')
    if not key or not equals:
        raise argparse.ArgumentTypeError(f'{text!r} is not KEY=VALUE')
    return text


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def run(
    work: Callable[..., Any],
    *arguments: Any,
    explain: Callable[[BaseException], str | None] = _WRONG_INPUT,
    when_stopped: Callable[[], str | None] | str = '',
) -> int:
    """Run the function of a command line and return the exit code.

    Errors that ``explain`` knows are printed in one line (exit code 1), and so are Ctrl-C and
    SIGTERM (130 and 143). If nobody reads the output any more, as after ``| head``, the command
    ends silently (141). Other errors keep their traceback; with the environment variable
    ``TS2NET_MM_TRACEBACK=1`` all errors do.

    Args:
        work: The function; an integer that it returns is the exit code.
        *arguments: Its arguments.
        explain: Returns the line for an error, or None for a traceback.
        when_stopped: What to print after a signal, or a function that returns it; if it returns
            None, this process prints nothing.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it may not be able to encode file names
            stream.reconfigure(errors='backslashreplace')
    _signals.install()
    try:
        code = work(*arguments)
        if sys.stdout:  # None if it was closed
            sys.stdout.flush()  # an error at the exit of Python could not be reported
        return code if isinstance(code, int) else 0
    except SystemExit:
        raise
    except BaseException as error:
        _signals.ignore()
        if isinstance(error, BrokenPipeError) and _discard_unread_output():
            return READER_GONE
        return _report(error, explain, when_stopped)
    finally:
        _signals.restore()


def _discard_unread_output() -> bool:
    """Tell whether output goes to a pipe that nobody reads, and then discard what follows."""
    found = False
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # no poll, or no descriptor
            poll = select.poll()
            poll.register(stream.fileno(), 0)
            if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
                found = True
    return found


def _report(
    error: BaseException,
    explain: Callable[[BaseException], str | None],
    when_stopped: Callable[[], str | None] | str,
) -> int:
    if os.environ.get(SHOW_TRACEBACKS, '0') not in ('', '0'):
        traceback.print_exc()
    if isinstance(error, Terminated) or _signals.received == signal.SIGTERM:
        code, word = TERMINATED, 'terminated'
    elif isinstance(error, KeyboardInterrupt) or _signals.received == signal.SIGINT:
        code, word = INTERRUPTED, 'interrupted'
    else:
        line = explain(error)
        if line is None:
            raise error
        print(f'error: {line}', file=sys.stderr, flush=True)
        return FAILED
    hint = when_stopped() if callable(when_stopped) else when_stopped
    if isinstance(error, KeyboardInterrupt) and error.args:
        hint = str(error.args[0])
    if hint is not None:
        print(f'{word}; {hint}' if hint else word, file=sys.stderr, flush=True)
    return code
