"""What the hook does beside MMEngine's; test_loops has the resuming itself."""

import errno
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend

from ts2net_mm.engine.checkpointing import AtomicLocalBackend


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def files_at_each_save(monkeypatch, tmp_path) -> list[set[str]]:
    """The checkpoints that exist in the moment before another one appears."""
    seen = []
    put = AtomicLocalBackend.put

    def note(self, obj, filepath):
        put(self, obj, filepath)
        seen.append({name for name in names(tmp_path) if name.endswith('.pth')})

    monkeypatch.setattr(AtomicLocalBackend, 'put', note)
    return seen


def test_the_old_one_goes_after_the_new_one_is_there(toy, tmp_path, files_at_each_save):
    toy(by_epoch=False, interval=4, max_keep_ckpts=1).train()
    assert files_at_each_save == [
        {'iter_4.pth'},
        {'iter_4.pth', 'iter_8.pth'},
        {'iter_8.pth', 'iter_10.pth'},
    ]
    assert {'iter_10.pth', 'last_checkpoint'} <= names(tmp_path)
    assert 'iter_8.pth' not in names(tmp_path)
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_10.pth')


@pytest.mark.parametrize('keys', ['toy/score', ['toy/score', 'toy/same']])
def test_the_old_best_goes_after_the_new_one_is_there(toy, tmp_path, files_at_each_save, keys):
    runner = toy(scores=[1.0, 0.5, 2.0], save_best=keys, rule='greater', max_epochs=3)
    metric = runner.val_evaluator.metrics[0]
    compute = metric.compute_metrics
    metric.compute_metrics = lambda results: (lambda m: m | dict(same=0.5))(compute(results))
    runner.train()
    best = [
        {name for name in files if name.startswith('best_toy_score')}
        for files in files_at_each_save
    ]
    both = {'best_toy_score_epoch_1.pth', 'best_toy_score_epoch_3.pth'}
    assert both in best
    assert {name for name in names(tmp_path) if 'toy_score' in name} == {
        'best_toy_score_epoch_3.pth'
    }
    if len(keys) == 2:  # which is never better again
        assert 'best_toy_same_epoch_1.pth' in names(tmp_path)


def test_checkpoint_holds_plain_states(toy, tmp_path):
    toy(scores=[1.0, 2.0], save_best='toy/score', rule='greater').train()
    state = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)['resume_state']
    assert len(state['random_states']) == 1
    assert state['position'] == dict(
        sampler_seed=1, batches_per_epoch=5, batch_size=2, extra_iterations=0
    )
    assert state['best_of'] == [['toy/score', 'greater']]
    assert state['parameters'] == [['layer.weight', 'layer.bias']]
    assert 'resume_state' not in torch.load(tmp_path / 'best_toy_score_epoch_2.pth')


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(toy, tmp_path, monkeypatch):
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


def test_a_truncated_checkpoint_is_passed_over(toy, tmp_path, monkeypatch):
    toy(by_epoch=False, interval=4).train()
    newest = tmp_path / 'iter_10.pth'
    newest.write_bytes(newest.read_bytes()[:-100])
    resumed = toy(by_epoch=False, interval=4, resume=True)
    warnings = []
    monkeypatch.setattr(resumed.logger, 'warning', warnings.append)
    assert len(resumed.train().losses) == 2
    expected = f'{newest} is damaged; resuming from {tmp_path / "iter_8.pth"} instead'
    assert expected in warnings


def test_nothing_but_truncated_checkpoints(toy, tmp_path):
    toy().train()
    for path in tmp_path.glob('epoch_*.pth'):
        path.write_bytes(b'')
    with pytest.raises(ValueError, match='all checkpoints of .* are damaged'):
        toy(resume=True).train()


def warnings_of(runner, monkeypatch) -> list[str]:
    warnings: list[str] = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    return warnings


def test_nothing_to_resume(toy, tmp_path, monkeypatch):
    runner = toy(resume=True)
    warnings = warnings_of(runner, monkeypatch)
    assert len(runner.train().losses) == 10
    expected = f'--resume: {tmp_path} has no checkpoint; the run starts from the beginning'
    assert expected in warnings


def test_nothing_left_to_train(toy, monkeypatch):
    toy().train()
    runner = toy(resume=True)
    warnings = warnings_of(runner, monkeypatch)
    assert runner.train().losses == []
    expected = 'nothing left to train: the checkpoint is of epoch 2, max_epochs is 2'
    assert expected in warnings


BEST = dict(save_best='toy/score', rule='greater', max_keep_ckpts=1)


@pytest.mark.parametrize('copied', [True, False])
def test_a_run_removes_its_own_files_only(toy, tmp_path, copied):
    """Resumed from another folder, or in a copy of its own, the best score being beaten."""
    old, new = tmp_path / 'old', tmp_path / 'new'
    toy(work_dir=old, scores=[1.0], max_epochs=1, **BEST).train()
    kept = {'epoch_1.pth', 'best_toy_score_epoch_1.pth'}
    source = old / 'epoch_1.pth'
    if copied:
        shutil.copytree(old, new)
        source = new / 'epoch_1.pth'
    else:
        new.mkdir()
        (new / 'epoch_1.pth').write_text('of another run')
    toy(work_dir=new, scores=[2.0], resume=True, load_from=str(source), **BEST).train()
    assert kept <= names(old)
    assert 'best_toy_score_epoch_2.pth' in names(new)
    # what the copy holds is the run's own; what lay in another folder before is not
    assert ('best_toy_score_epoch_1.pth' in names(new), 'epoch_1.pth' in names(new)) == (
        (False, False) if copied else (False, True)
    )


def test_validation_alone(toy):
    runner = toy(scores=[1.0], **BEST)
    assert runner.val() == {'toy/score': 1.0}


def test_note_of_a_checkpoint_that_is_gone(toy, tmp_path):
    toy(max_epochs=1).train()
    (tmp_path / 'epoch_1.pth').unlink()
    assert len(toy(resume=True).train().losses) == 10


def test_load_from_alone_does_not_resume(toy, tmp_path):
    """Weights alone are taken over: a run from them draws what it would have drawn."""
    first = toy(work_dir=tmp_path / 'first').train()
    second = toy(work_dir=tmp_path / 'second', load_from=str(tmp_path / 'first' / 'epoch_1.pth'))
    found = second.train()
    assert found.batches == first.batches
    assert len(found.losses) == 10


def test_leftovers_of_a_killed_run_are_removed(toy, tmp_path):
    leftover = tmp_path / '.iter_3.pth.77.part'
    leftover.write_bytes(b'half')
    toy().train()
    assert not leftover.exists()


def test_a_place_that_is_no_local_folder_keeps_its_backend(toy, monkeypatch):
    runner = toy()
    (hook,) = (one for one in runner.hooks if type(one).__name__ == 'ResumableCheckpointHook')

    class Elsewhere:
        pass

    module = 'ts2net_mm.engine.checkpointing.get_file_backend'
    monkeypatch.setattr(module, lambda folder: Elsewhere())
    runner.train()
    assert hook.backend_args is None
    assert type(hook.file_backend) is LocalBackend


@pytest.mark.parametrize('loop', ['EpochBasedTrainLoop', 'ResumableTrainLoop'])
def test_checkpoint_of_other_processes_or_another_loop(toy, tmp_path, monkeypatch, loop):
    toy(interval=1).train()
    saved = torch.load(tmp_path / 'epoch_1.pth')
    saved['resume_state']['random_states'] *= 2
    torch.save(saved, tmp_path / 'epoch_1.pth')
    resumed = toy(loop=loop, resume=True, load_from=str(tmp_path / 'epoch_1.pth'))
    warnings = []
    monkeypatch.setattr(resumed.logger, 'warning', warnings.append)
    assert len(resumed.train().losses) == 5
    assert any('random states of 2 processes, and now there are 1' in one for one in warnings)
    assert sum('does not resume exactly' in one for one in warnings) == (loop[0] == 'E')


def test_checkpoint_between_two_updates(toy):
    with pytest.raises(ValueError, match='interval=3 is not a multiple of accumulative_counts=2'):
        toy(by_epoch=False, interval=3, accumulative_counts=2).train()
    toy(by_epoch=False, interval=4, accumulative_counts=2).train()
