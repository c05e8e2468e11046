"""Exit codes, lines and signals of a command line."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing import resource_sharer

import pytest

from ts2net_mm.utils.cli import Terminated, hold_termination, received_signal, run


def fail(error: BaseException):
    raise error


@pytest.mark.parametrize(
    ('error', 'code', 'line'),
    [
        (FileNotFoundError('no file'), 1, 'error: no file'),
        (ValueError('a bad value'), 1, 'error: a bad value'),
        (KeyboardInterrupt(), 130, 'interrupted; hint'),
        (KeyboardInterrupt('2 of 3 are kept'), 130, 'interrupted; 2 of 3 are kept'),
        (Terminated(), 143, 'terminated; hint'),
    ],
)
def test_errors_are_one_line(error, code, line, capsys):
    assert run(fail, error, when_stopped=lambda: 'hint') == code
    assert capsys.readouterr().err == f'{line}\n'


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)


def test_a_traceback_on_request(monkeypatch, capsys):
    monkeypatch.setenv('TS2NET_MM_TRACEBACK', '1')
    assert run(fail, ValueError('a bad value')) == 1
    assert 'Traceback' in capsys.readouterr().err


@pytest.mark.parametrize(('result', 'code'), [(None, 0), (3, 3)])
def test_exit_code_of_the_work(result, code):
    assert run(lambda: result) == code


def test_output_that_nobody_reads():
    """As after ``| head``, also where a buffer keeps the output until the end."""
    for lines in (1, 100_000):
        code = (
            'import sys; from ts2net_mm.utils.cli import run; '
            f"sys.exit(run(lambda: print({lines} * 'text\\n')))"
        )
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([sys.executable, '-c', code], stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        assert (done.returncode, done.stderr) == (141, b'')


@pytest.mark.parametrize(('output', 'code'), [('&-', 0), ('/dev/full', 1)])
def test_output_that_cannot_be_written(output, code):
    """Without an output the work counts; a full disk loses what was printed."""
    program = 'import sys; from ts2net_mm.utils.cli import run; sys.exit(run(lambda: print(1)))'
    command = f'exec "$0" -c "$1" >{output}'
    done = subprocess.run(['sh', '-c', command, sys.executable, program], stderr=subprocess.PIPE)
    assert done.returncode == code
    assert b'Traceback' not in done.stderr


def test_another_broken_pipe_is_an_error(capsys):
    assert run(fail, BrokenPipeError('a worker is gone')) == 1
    assert capsys.readouterr().err == 'error: a worker is gone\n'


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_a_library_turns_into_an_error(number, code, capsys):
    """MMEngine does that when it formats a config."""

    def work():
        try:
            os.kill(os.getpid(), number)
        except:  # noqa: E722
            raise SyntaxError('Failed to format the config file') from None

    before = signal.getsignal(number)
    assert run(work) == code
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert signal.getsignal(number) is before


def test_a_signal_inside_a_destructor(capsys):
    """Python prints the exception and continues."""

    class Closing:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):
                pass

    def work():
        Closing()
        time.sleep(60)

    hook = sys.unraisablehook
    assert run(work) == 130
    assert capsys.readouterr().err == 'interrupted\n'
    assert sys.unraisablehook is hook


@pytest.mark.skipif(sys.platform == 'win32', reason='no fork')
def test_workers_that_the_signal_ends_too(capsys):
    """At any later moment: torch's handler raises for each worker of a data loader."""

    def end_a_child():
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        return ''

    def work():
        signal.signal(signal.SIGCHLD, lambda number, frame: 1 / 0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        end_a_child()
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGCHLD)
    try:
        assert run(work, when_stopped=end_a_child) == 130
        assert capsys.readouterr().err == 'interrupted\n'
        end_a_child()
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_held_termination():
    def work():
        hold_termination()
        os.kill(os.getpid(), signal.SIGTERM)
        assert received_signal() == signal.SIGTERM
        hold_termination(False)
        return 5

    assert run(work) == 5


@pytest.mark.skipif(sys.platform == 'win32', reason='no fork')
def test_a_forked_helper_ends_silently(capsys):
    def work():
        if (child := os.fork()) == 0:
            os.kill(os.getpid(), signal.SIGINT)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert run(work) == 130
    assert capsys.readouterr().err == ''


@pytest.mark.skipif(sys.platform == 'win32', reason='no fork')
@pytest.mark.parametrize('greeting', [b'', b'\x00\x00\x00'])
def test_a_forked_helper_whose_tensors_are_not_received(greeting, capfd):
    """Ctrl-C may arrive while the process opens the connection to the helper."""

    def offer(addresses):
        descriptor = resource_sharer.DupFd(os.open(os.devnull, os.O_RDONLY))
        addresses.send(descriptor._id[0])
        addresses.recv()

    def work():
        context = multiprocessing.get_context('fork')
        ours, theirs = context.Pipe()
        helper = context.Process(target=offer, args=(theirs,))
        helper.start()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(ours.recv())
            connection.sendall(greeting)
        time.sleep(0.5)  # for its thread to fail
        ours.send(None)
        helper.join()

    assert run(work) == 0
    assert capfd.readouterr().err == ''
