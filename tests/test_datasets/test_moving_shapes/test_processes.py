import os
import signal
import sys
import time
from contextlib import closing
from functools import partial

import pytest

from ts2net_mm.datasets.moving_shapes.processes import work_through

linux_only = pytest.mark.skipif(sys.platform != 'linux', reason='other systems use one process')


def _touch(folder, number):
    (folder / f'{number}-{os.getpid()}').touch()


def _fail_at(bad, number):
    if number == bad:
        raise ValueError(f'number {number} is bad')


def _die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def _slow(folder, number):
    _touch(folder, number)
    time.sleep(0.05)


def _is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize('workers', [1, 2, 3, 50])
def test_every_item_is_done_once(tmp_path, workers):
    steps = list(work_through(partial(_touch, tmp_path), range(10), workers=workers))
    assert len(steps) == 10
    done = sorted(int(path.name.split('-')[0]) for path in tmp_path.iterdir())
    assert done == list(range(10))


@linux_only
def test_work_is_shared_by_processes(tmp_path):
    list(work_through(partial(_touch, tmp_path), range(10), workers=3))
    pids = {int(path.name.split('-')[1]) for path in tmp_path.iterdir()}
    assert len(pids) == 3
    assert os.getpid() not in pids


def test_nothing_to_do(tmp_path):
    assert list(work_through(partial(_touch, tmp_path), [], workers=4)) == []


@pytest.mark.parametrize('workers', [1, 2])
def test_an_error_reaches_the_caller(workers):
    with pytest.raises(ValueError, match='number 5 is bad'):
        list(work_through(partial(_fail_at, 5), range(10), workers=workers))


@linux_only
def test_a_dead_process_is_an_error():
    with pytest.raises(RuntimeError, match='process died .*-9'):
        list(work_through(_die, range(4), workers=2))


@linux_only
def test_closing_stops_all_processes(tmp_path):
    with closing(work_through(partial(_slow, tmp_path), range(1000), workers=2)) as steps:
        next(steps)
        next(steps)
    done = len(list(tmp_path.iterdir()))
    pids = {int(path.name.split('-')[1]) for path in tmp_path.iterdir()}
    assert not any(_is_running(pid) for pid in pids)
    time.sleep(0.2)
    assert len(list(tmp_path.iterdir())) == done < 100


def _workers_seen(folder) -> set[int]:
    """Processes that have left a file in the folder."""
    return {int(path.name.split('-')[1]) for path in folder.iterdir()}


@linux_only
def test_processes_do_not_outlive_a_killed_parent(tmp_path):
    parent = os.fork()
    if parent == 0:
        try:
            list(work_through(partial(_slow, tmp_path), range(1000), workers=2))
        finally:
            os._exit(1)
    deadline = time.monotonic() + 20
    while len(pids := _workers_seen(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert len(pids) == 2
    while any(_is_running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(list(tmp_path.iterdir())) < 100


@linux_only
def test_the_signal_mask_of_the_caller_is_kept():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    list(work_through(partial(_fail_at, -1), range(4), workers=2))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
