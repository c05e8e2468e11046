import os
import signal
import subprocess
import sys
import time

import pytest

from ts2net_mm.apis.workers import Failure
from ts2net_mm.preparation.processes import work_on_each

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='the functions here are forked')


def double(number):
    if number == 13:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 17:
        time.sleep(60)
    if number == 19:
        return Failure('nineteen')
    if number == 23:
        raise OSError('no place left')
    return 2 * number


@pytest.mark.parametrize('jobs', [1, 3])
def test_all_results(jobs):
    results = dict(work_on_each(double, range(10), jobs=jobs))
    assert results == {number: 2 * number for number in range(10)}


def test_a_process_serves_many_items():
    processes = {pid for _, pid in work_on_each(lambda _: os.getpid(), range(20), jobs=2)}
    assert 1 <= len(processes) <= 2
    assert os.getpid() not in processes


def test_crashes_and_known_errors_are_results():
    results = dict(work_on_each(double, [1, 13, 2, 19, 13, 3], jobs=2))
    crash = Failure('the decoder crashed on it')
    assert results == {1: 2, 13: crash, 2: 4, 19: Failure('nineteen'), 3: 6}


def test_a_hang_is_a_result():
    start = time.monotonic()
    results = dict(work_on_each(double, [1, 17, 2, 3], jobs=2, timeout=1))
    assert results == {1: 2, 17: Failure('no answer within 1 seconds'), 2: 4, 3: 6}
    assert time.monotonic() - start < 30


def test_other_errors_are_raised():
    with pytest.raises(RuntimeError, match=r"23: OSError\('no place left'\)"):
        list(work_on_each(double, [23, 1], jobs=1))


def is_running(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def start_child(folder):
    child = subprocess.Popen(['sleep', '60'])
    (folder / str(child.pid)).touch()
    child.wait()


@pytest.mark.parametrize('how', ['close', 'error'])
def test_nothing_outlives_the_iterator(tmp_path, how):
    """Neither the processes nor what they have started."""
    results = work_on_each(
        lambda item: start_child(tmp_path) if item else 0, [0, 1, 1], jobs=3, timeout=60
    )
    next(results)
    deadline = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    children = [int(path.name) for path in tmp_path.iterdir()]
    assert all(map(is_running, children))
    if how == 'close':
        results.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)
    while any(map(is_running, children)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
