"""What the hook adds to MMEngine's; test_loops.py tests the resume itself."""

import errno
import resource
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend, get_file_backend

from ts2net_mm.engine.checkpointing import ATOMIC_BACKEND, AtomicLocalBackend

BEST = dict(save_best='toy/score', rule='greater')


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def files_at_each_save(monkeypatch, tmp_path) -> list[set[str]]:
    """The checkpoints that exist right after each save."""
    seen = []
    put = AtomicLocalBackend.put

    def record(self, obj, filepath):
        put(self, obj, filepath)
        seen.append({name for name in names(tmp_path) if name.endswith('.pth')})

    monkeypatch.setattr(AtomicLocalBackend, 'put', record)
    return seen


def test_old_checkpoint_is_removed_after_the_new_one_is_complete(toy, tmp_path, files_at_each_save):
    leftover = tmp_path / '.iter_3.pth.77.part'  # of a killed run
    leftover.write_bytes(b'half')
    toy(by_epoch=False, interval=4, max_keep_ckpts=1).train()
    assert not leftover.exists()
    assert files_at_each_save == [
        {'iter_4.pth'},
        {'iter_4.pth', 'iter_8.pth'},
        {'iter_8.pth', 'iter_10.pth'},
    ]
    assert {'iter_10.pth', 'last_checkpoint'} <= names(tmp_path)
    assert 'iter_8.pth' not in names(tmp_path)
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_10.pth')


@pytest.mark.parametrize('keys', ['toy/score', ['toy/score', 'toy/same']])
def test_old_best_is_removed_after_the_new_one_is_complete(toy, tmp_path, files_at_each_save, keys):
    runner = toy(scores=[1.0, 0.5, 2.0], save_best=keys, rule='greater', max_epochs=3)
    metric = runner.val_evaluator.metrics[0]
    compute = metric.compute_metrics
    metric.compute_metrics = lambda results: compute(results) | dict(same=0.5)
    runner.train()
    best = [
        {name for name in files if name.startswith('best_toy_score')}
        for files in files_at_each_save
    ]
    assert {'best_toy_score_epoch_1.pth', 'best_toy_score_epoch_3.pth'} in best
    assert {name for name in names(tmp_path) if 'toy_score' in name} == {
        'best_toy_score_epoch_3.pth'
    }
    if len(keys) == 2:  # the second metric never improves
        assert 'best_toy_same_epoch_1.pth' in names(tmp_path)


@pytest.fixture
def full_disk():
    """No file may exceed 1000 bytes, which looks to a program like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_backend_on_a_full_disk(tmp_path, full_disk):
    backend = get_file_backend(backend_args=dict(backend=ATOMIC_BACKEND))
    path = str(tmp_path / 'file.pth')
    backend.put(b'old' * 100, path)
    with pytest.raises(OSError, match='too large'):
        backend.put(b'new' * 1000, path)
    assert backend.get(path) == b'old' * 100
    assert names(tmp_path) == {'file.pth'}
    backend.put_text('größer', str(tmp_path / 'file.txt'))
    assert Path(tmp_path, 'file.txt').read_text(encoding='utf-8') == 'größer'


def test_run_on_a_full_disk_ends_and_keeps_the_last_checkpoint(toy, tmp_path, monkeypatch):
    put = AtomicLocalBackend.put

    def put_until_full(self, obj, filepath):
        if filepath.endswith('iter_4.pth'):
            raise OSError(errno.ENOSPC, 'No space left on device')
        put(self, obj, filepath)

    monkeypatch.setattr(AtomicLocalBackend, 'put', put_until_full)
    message = r'cannot save .*iter_4\.pth: No space left on device; the last complete .*iter_2\.pth'
    with pytest.raises(OSError, match=message):
        toy(by_epoch=False, interval=2, max_keep_ckpts=1).train()
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_2.pth')
    assert torch.load(tmp_path / 'iter_2.pth')['meta']['iter'] == 2


def test_damaged_checkpoints_are_skipped(toy, tmp_path, warnings_of):
    settings = dict(by_epoch=False, interval=4)
    toy(**settings).train()
    newest = tmp_path / 'iter_10.pth'
    newest.write_bytes(newest.read_bytes()[:-100])
    resumed = toy(resume=True, **settings)
    warnings = warnings_of(resumed)
    assert len(resumed.train().losses) == 2
    assert f'{newest} is damaged; resuming from {tmp_path / "iter_8.pth"} instead' in warnings
    for path in tmp_path.glob('iter_*.pth'):
        path.write_bytes(b'')
    with pytest.raises(ValueError, match='all checkpoints of .* are damaged'):
        toy(resume=True).train()


def test_nothing_to_resume_and_nothing_left_to_train(toy, tmp_path, warnings_of):
    runner = toy(resume=True)
    warnings = warnings_of(runner)
    assert len(runner.train().losses) == 10
    expected = f'--resume: {tmp_path} has no checkpoint; the run starts from the beginning'
    assert expected in warnings

    runner = toy(resume=True)
    warnings = warnings_of(runner)
    assert runner.train().losses == []
    expected = 'nothing left to train: the checkpoint is of epoch 2, max_epochs is 2'
    assert expected in warnings


@pytest.mark.parametrize('copied', [True, False])
def test_only_own_files_are_removed(toy, tmp_path, copied):
    """Resumed from another folder, or in a copy of its own; a new best replaces the old one."""
    old, new = tmp_path / 'old', tmp_path / 'new'
    settings = dict(BEST, max_keep_ckpts=1)
    toy(work_dir=old, scores=[1.0], max_epochs=1, **settings).train()
    kept = {'epoch_1.pth', 'best_toy_score_epoch_1.pth'}
    source = old / 'epoch_1.pth'
    if copied:
        shutil.copytree(old, new)
        source = new / 'epoch_1.pth'
    else:
        new.mkdir()
        (new / 'epoch_1.pth').write_text('of another run')
    toy(work_dir=new, scores=[2.0], resume=True, load_from=str(source), **settings).train()
    assert kept <= names(old)
    assert 'best_toy_score_epoch_2.pth' in names(new)
    # the files of a copy belong to the run; a file that another run left in the folder does not
    assert ('best_toy_score_epoch_1.pth' in names(new), 'epoch_1.pth' in names(new)) == (
        (False, False) if copied else (False, True)
    )


def test_load_from_alone_does_not_resume(toy, tmp_path):
    """It loads the weights only; batches and random numbers are those of a new run."""
    first = toy(work_dir=tmp_path / 'first').train()
    second = toy(work_dir=tmp_path / 'second', load_from=str(tmp_path / 'first' / 'epoch_1.pth'))
    found = second.train()
    assert found.batches == first.batches
    assert len(found.losses) == 10


def test_remote_folder_keeps_its_backend(toy, monkeypatch):
    runner = toy()
    (hook,) = (hook for hook in runner.hooks if type(hook).__name__ == 'ResumableCheckpointHook')
    module = 'ts2net_mm.engine.checkpointing.get_file_backend'
    monkeypatch.setattr(module, lambda folder: object())
    runner.train()
    assert hook.backend_args is None
    assert type(hook.file_backend) is LocalBackend


@pytest.mark.parametrize('loop', ['EpochBasedTrainLoop', 'ResumableTrainLoop'])
def test_another_number_of_processes_or_another_loop(toy, tmp_path, warnings_of, loop):
    toy(interval=1).train()
    saved = torch.load(tmp_path / 'epoch_1.pth')
    saved['resume_state']['random_states'] *= 2
    torch.save(saved, tmp_path / 'epoch_1.pth')
    resumed = toy(loop=loop, resume=True, load_from=str(tmp_path / 'epoch_1.pth'))
    warnings = warnings_of(resumed)
    assert len(resumed.train().losses) == 5
    assert any('random states of 2 processes, and now there are 1' in line for line in warnings)
    assert any('does not resume exactly' in line for line in warnings) == (loop[0] == 'E')


def test_checkpoint_between_two_updates(toy):
    with pytest.raises(ValueError, match='interval=3 is not a multiple of accumulative_counts=2'):
        toy(by_epoch=False, interval=3, accumulative_counts=2).train()
    toy(by_epoch=False, interval=4, accumulative_counts=2).train()
