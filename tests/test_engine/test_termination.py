"""The hook with a toy; tests/test_tools/test_interruption.py signals real trainings."""

import signal

import pytest
import torch

from ts2net_mm.engine import TerminationHook
from ts2net_mm.utils.cli import Terminated


@pytest.fixture
def terminate(monkeypatch):
    """Function that trains until SIGTERM comes in an iteration, or in the validation after it."""

    def run(runner, *, iteration: int, validating: bool = False) -> None:
        hook = TerminationHook()
        runner.register_hook(hook)

        def received() -> int | None:
            done = len(runner.model.losses) >= iteration
            return signal.SIGTERM if done and hook._validating == validating else None

        monkeypatch.setattr('ts2net_mm.engine.termination.received_signal', received)
        with pytest.raises(Terminated):
            runner.train()
        hook.save_after_error(runner)
        monkeypatch.setattr('ts2net_mm.engine.termination.received_signal', lambda: None)

    return run


def resume(toy, work_dir, scores, **settings):
    runner = toy(work_dir=work_dir, scores=list(scores), resume=True, seed=7, **settings)
    runner.register_hook(TerminationHook())
    return runner, runner.train()


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize(('iteration', 'scores'), [(3, (2, 3)), (4, (2, 3)), (7, (3,)), (10, (3,))])
def test_terminated_in_training(toy, terminate, tmp_path, by_epoch, iteration, scores):
    settings = dict(by_epoch=by_epoch, interval=1 if by_epoch else 4, max_keep_ckpts=1)
    straight = toy(work_dir=tmp_path / 'straight', scores=[2, 3], **settings).train()
    broken = toy(work_dir=tmp_path / 'broken', scores=[2, 3], **settings)
    terminate(broken, iteration=iteration)
    assert (tmp_path / 'broken' / f'iter_{iteration}.pth').is_file()

    _, found = resume(toy, tmp_path / 'broken', scores, **settings)
    assert found.losses == straight.losses[iteration:]
    assert torch.equal(found.layer.weight, straight.layer.weight)
    names = [sorted(p.name for p in (tmp_path / f).glob('*.pth')) for f in ('straight', 'broken')]
    assert names[0] == names[1]


def test_terminated_in_validation(toy, terminate, tmp_path):
    """Without a checkpoint of the epoch's end one is made; the validation is done again."""
    settings = dict(by_epoch=False, interval=4)
    straight = toy(work_dir=tmp_path / 'straight', scores=[2, 3], **settings).train()
    broken = toy(work_dir=tmp_path / 'broken', scores=[2, 3], **settings)
    terminate(broken, iteration=5, validating=True)
    saved = torch.load(tmp_path / 'broken' / 'iter_5.pth')
    assert (saved['meta']['epoch'], saved['meta']['iter']) == (1, 5)

    runner, found = resume(toy, tmp_path / 'broken', (2, 3), **settings)
    assert runner.val_evaluator.metrics[0].scores == []
    assert found.losses == straight.losses[5:]
    assert torch.equal(found.layer.weight, straight.layer.weight)


def test_the_checkpoint_before_a_validation_is_enough(toy, terminate, tmp_path):
    terminate(toy(scores=[2, 3]), iteration=5, validating=True)
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_1.pth']


def test_trained_weights_are_saved_where_ema_weights_validate(toy, terminate, tmp_path):
    ema = (dict(type='EMAHook', momentum=0.5),)
    straight = toy(work_dir=tmp_path / 'straight', scores=[2, 3], hooks=ema).train()
    settings = dict(hooks=ema, by_epoch=False, interval=4)
    terminate(
        toy(work_dir=tmp_path / 'broken', scores=[2, 3], **settings), iteration=5, validating=True
    )
    _, found = resume(toy, tmp_path / 'broken', (2, 3), **settings)
    assert torch.equal(found.layer.weight, straight.layer.weight)


def test_accumulated_gradients_are_applied_first(toy, terminate, tmp_path):
    terminate(toy(accumulative_counts=2, interval=2, by_epoch=False), iteration=3)
    assert (tmp_path / 'iter_4.pth').is_file()
    assert not (tmp_path / 'iter_3.pth').exists()
