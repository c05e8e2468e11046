"""The lock of a work folder; tests/test_tools/test_interruption.py kills its owner."""

import multiprocessing

import pytest

from ts2net_mm.engine.work_dir import WorkDirError, claim_work_dir


def hold(folder, pipe) -> None:
    with claim_work_dir(folder):
        pipe.send('held')
        pipe.recv()


def test_lock_is_released_after_a_kill(tmp_path):
    context = multiprocessing.get_context('fork')
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path, theirs))
    process.start()
    assert ours.recv() == 'held'
    message = rf'another run \(process {process.pid} on'
    with pytest.raises(WorkDirError, match=message), claim_work_dir(tmp_path):
        pass
    with claim_work_dir(tmp_path, rank=1):  # another process of the run that holds it
        pass
    process.kill()
    process.join()
    with claim_work_dir(tmp_path):
        pass


def test_forked_worker_does_not_keep_the_lock(tmp_path):
    """A data loader worker, forked from the process with the lock, may outlive it."""
    context = multiprocessing.get_context('fork')
    ours, theirs = context.Pipe()
    with claim_work_dir(tmp_path):
        helper = context.Process(target=theirs.recv)
        helper.start()
    with claim_work_dir(tmp_path):
        pass
    ours.send('end')
    helper.join()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    message = 'cannot write into the work folder .*file: File exists'
    with pytest.raises(WorkDirError, match=message), claim_work_dir(tmp_path / 'file'):
        pass
