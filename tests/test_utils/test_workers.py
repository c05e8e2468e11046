import contextlib
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ts2net_mm.utils.workers import Failure, map_in_workers

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='the functions here are forked')


def double(number):
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 17:
        time.sleep(60)
    if number == 19:
        return Failure('nineteen')
    if number == 23:
        raise OSError('no place left')
    time.sleep(0.02 if number % 3 == 0 else 0)  # later items overtake
    return 2 * number


@pytest.mark.parametrize(('num_workers', 'max_ahead'), [(1, 1), (3, 1), (3, 4), (50, 100)])
def test_results_come_in_the_order_of_the_items(num_workers, max_ahead):
    results = map_in_workers(double, range(12), num_workers=num_workers, max_ahead=max_ahead)
    assert list(results) == [(number, 2 * number) for number in range(12)]


def test_unordered_results_come_as_they_finish():
    results = map_in_workers(double, [17, 1, 2], num_workers=2, ordered=False)
    assert [next(results), next(results)] == [(1, 2), (2, 4)]
    results.close()


def test_no_items_give_no_results():
    assert list(map_in_workers(double, [])) == []


def test_few_items_are_ahead_of_the_next_result(tmp_path):
    def touch(number):
        (tmp_path / str(number)).touch()
        return double(number)

    results = map_in_workers(touch, [17, *range(12)], num_workers=2, max_ahead=4, timeout=1)
    assert next(results)[0] == 17
    assert len(list(tmp_path.iterdir())) <= 5
    results.close()


def test_a_process_serves_many_items():
    pids = {pid for _, pid in map_in_workers(lambda _: os.getpid(), range(20), num_workers=2)}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids


@pytest.mark.parametrize('ordered', [True, False])
def test_crashes_hangs_and_expected_errors_are_results(ordered):
    items = [1, 13, 2, 19, 17, 3]
    results = dict(map_in_workers(double, items, num_workers=2, ordered=ordered, timeout=1))
    crash, hang = Failure('the decoder crashed on it'), Failure('no answer within 1 seconds')
    assert results == {1: 2, 13: crash, 2: 4, 19: Failure('nineteen'), 17: hang, 3: 6}


def test_an_error_reaches_the_caller():
    with pytest.raises(OSError, match='no place left'):
        list(map_in_workers(double, [1, 23, 2], num_workers=2))
    assert multiprocessing.active_children() == []


def test_a_result_that_cannot_be_sent():
    with pytest.raises(RuntimeError, match='pickle'):
        list(map_in_workers(lambda _: lambda: 0, [1], num_workers=1))


def make_noise(path):
    os.write(1, b'noise on stdout')
    os.write(2, b'noise on stderr')
    print('more noise', flush=True)
    logger = logging.getLogger('loud')
    logger.addHandler(logging.FileHandler(path))
    logger.critical('noise')


def test_workers_are_silent(tmp_path, capfd):
    assert len(list(map_in_workers(make_noise, [tmp_path / 'log']))) == 1
    assert capfd.readouterr() == ('', '')
    assert (tmp_path / 'log').read_text() == ''


def test_the_signal_mask_of_the_caller_is_kept():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    list(map_in_workers(double, range(4), num_workers=2))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def is_running(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    return False


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class StartChild:
    """Starts a child process that runs on, and creates a file with its pid as the name."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, item):
        if item:
            child = subprocess.Popen(['sleep', '60'])
            (self.folder / str(child.pid)).touch()
            child.wait()

    def children(self):
        return [int(path.name) for path in self.folder.iterdir()]


@pytest.mark.parametrize('how', ['close', 'interrupt'])
def test_nothing_outlives_the_iterator(tmp_path, how):
    """Neither the processes nor the processes that they started."""
    start = StartChild(tmp_path)
    results = map_in_workers(start, [0, 1, 1], num_workers=3)
    next(results)
    wait_until(lambda: len(start.children()) == 2)
    assert all(map(is_running, start.children()))
    if how == 'close':
        results.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)
    wait_until(lambda: not any(map(is_running, start.children())))


def slow(folder, number):
    (folder / f'{number}-{os.getpid()}').touch()
    time.sleep(0.05)


def test_processes_do_not_outlive_a_killed_parent(tmp_path):
    parent = os.fork()
    if parent == 0:
        try:
            list(map_in_workers(lambda number: slow(tmp_path, number), range(1000), num_workers=2))
        finally:
            os._exit(1)

    def workers() -> set[int]:
        return {int(path.name.split('-')[1]) for path in tmp_path.iterdir()}

    wait_until(lambda: len(workers()) == 2)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    wait_until(lambda: not any(map(is_running, workers())))
    assert len(list(tmp_path.iterdir())) < 100
