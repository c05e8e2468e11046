"""Which checkpoint a run resumes from, the random states, and a config that has changed."""

import io
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import EarlyStoppingHook

from ts2net_mm.engine.resuming import (
    checkpoints_to_resume,
    is_complete,
    newest_complete,
    random_states,
    restore_random_states,
    seeded,
)

BEST = dict(save_best='toy/score', rule='greater')


@pytest.fixture
def work_dir(tmp_path) -> Path:
    """Three checkpoints, of which last_checkpoint names the second; and other files."""
    folder = tmp_path / 'work'
    folder.mkdir()
    for time, name in enumerate(('iter_4', 'iter_8', 'iter_12', 'best_t2v_R1_iter_8', 'weights')):
        torch.save(dict(value=torch.full((1000,), time)), folder / f'{name}.pth')
        os.utime(folder / f'{name}.pth', (time, time))
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_8.pth'))
    return folder


def names(paths) -> list[str]:
    return [path.name for path in paths]


def cut(path: Path) -> None:
    times = path.stat()
    path.write_bytes(path.read_bytes()[:-300])
    os.utime(path, (times.st_atime, times.st_mtime))


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b'')


@pytest.mark.parametrize('damage', [cut, flip_a_byte, empty, Path.unlink])
def test_is_complete(work_dir, damage):
    path = work_dir / 'iter_4.pth'
    assert is_complete(path)
    damage(path)
    assert not is_complete(path)


def test_newer_than_last_checkpoint_comes_first(work_dir):
    assert names(checkpoints_to_resume(work_dir)) == ['iter_12.pth', 'iter_8.pth', 'iter_4.pth']
    # unless it is an older file, of an earlier run
    os.utime(work_dir / 'iter_12.pth', (0, 0))
    assert names(checkpoints_to_resume(work_dir)) == ['iter_8.pth', 'iter_4.pth']


@pytest.mark.parametrize('content', [None, ''])
def test_without_last_checkpoint_the_newest_file_comes_first(work_dir, content):
    (work_dir / 'last_checkpoint').unlink()
    if content is not None:
        (work_dir / 'last_checkpoint').write_text(content)
    os.utime(work_dir / 'iter_4.pth', (9, 9))
    found = names(checkpoints_to_resume(work_dir))
    assert found == ['iter_4.pth', 'iter_12.pth', 'iter_8.pth']


@pytest.mark.parametrize('transfer', [shutil.move, shutil.copytree])
def test_folder_that_was_moved_or_copied(work_dir, tmp_path, transfer):
    other = tmp_path / 'other'
    transfer(work_dir, other)
    (other / 'iter_12.pth').unlink()
    assert newest_complete(other) == (other / 'iter_8.pth', [])


def test_newest_complete(work_dir, tmp_path):
    assert newest_complete(tmp_path) == (None, [])
    (work_dir / 'iter_8.pth').unlink()  # which last_checkpoint names
    assert newest_complete(work_dir) == (work_dir / 'iter_12.pth', [])
    cut(work_dir / 'iter_12.pth')
    assert newest_complete(work_dir) == (work_dir / 'iter_4.pth', [work_dir / 'iter_12.pth'])
    cut(work_dir / 'iter_4.pth')
    message = r'all checkpoints of .*work are damaged: iter_12\.pth, iter_4\.pth'
    with pytest.raises(ValueError, match=message):
        newest_complete(work_dir)


def draw() -> list[float]:
    """Numbers of every generator; gauss and randn keep a second number for the next call."""
    numbers = [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn()]
    return [*numbers, torch.rand(1).item(), torch.randn(3)[0].item()]


@pytest.mark.parametrize('draws_before', [0, 1])
def test_random_states_go_through_a_file_and_back(draws_before):
    for _ in range(draws_before):
        draw()
    file = io.BytesIO()
    torch.save(random_states(), file)
    file.seek(0)
    expected = draw(), draw()
    restore_random_states(torch.load(file, weights_only=True))
    assert (draw(), draw()) == expected


def test_seeded_depends_on_its_numbers_alone_and_restores_the_states():
    before = random_states()
    with seeded(3, 1, 4):
        inside = draw()
    with seeded(3, 1, 4):
        assert draw() == inside
    with pytest.raises(KeyError), seeded(3, 1, 5):
        assert not set(draw()) & set(inside)
        raise KeyError
    after = random_states()
    assert all(torch.equal(after[key], before[key]) for key in before)


@pytest.fixture
def scheduled(toy):
    """Function that makes the toy with the released schedule."""
    schedule = dict(type='WarmupCosineLR', warmup_ratio=0.2, by_epoch=False)
    return lambda **settings: toy(scheduler=schedule, **settings)


def test_more_epochs_follow_the_longer_schedule(scheduled, rates_of, tmp_path):
    straight = rates_of(scheduled(max_epochs=4, work_dir=tmp_path / 'straight'))
    assert rates_of(scheduled(max_epochs=2)) != straight[:10]
    assert rates_of(scheduled(max_epochs=4, resume=True)) == straight[10:]


def test_settings_of_the_checkpoint_are_kept_and_logged(scheduled, rates_of, warnings_of):
    scheduled(max_epochs=1).train()
    runner = scheduled(resume=True, optimizer=dict(type='SGD', lr=5e-3, momentum=0.9))
    warnings = warnings_of(runner)
    found = rates_of(runner)
    expected = '--resume keeps the setting of the checkpoint: optimizer lr=0.001, not 0.005'
    assert [line for line in warnings if 'keeps' in line] == [expected]
    assert max(found) < 1e-3


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize('batch_size', [5, 1])
def test_another_batch_size_ends_with_the_schedule(
    scheduled, rates_of, interrupt, warnings_of, tmp_path, by_epoch, batch_size
):
    """After one epoch of five batches; interrupted a second time inside one of the new epochs."""
    settings = dict(by_epoch=by_epoch, interval=1)
    scheduled(max_epochs=1, **settings).train()
    batches = 10 // batch_size
    straight = rates_of(scheduled(work_dir=tmp_path / 'straight', size=2 * batches, max_epochs=3))

    settings |= dict(max_epochs=3, resume=True, batch_size=batch_size)
    resumed = scheduled(**settings)
    warnings = warnings_of(resumed)
    interrupt(resumed, batches + 1)
    assert any(
        line.startswith(f'the batch size was 2 and is now {batch_size}') for line in warnings
    )
    done = batches if by_epoch else batches + 1
    last = scheduled(**settings)
    assert rates_of(last) == straight[batches + done :]
    assert last.iter == last.max_iters == 5 + 2 * batches
    assert (tmp_path / ('epoch_3.pth' if by_epoch else f'iter_{last.iter}.pth')).exists()


def test_another_optimiser_is_an_error(toy):
    toy(max_epochs=1).train()
    with pytest.raises(ValueError, match='the optimiser was SGD and is now AdamW; .*load_from'):
        toy(resume=True, optimizer=dict(type='AdamW', lr=1e-3)).train()


def test_other_trained_parameters_are_an_error(toy, tmp_path):
    toy(max_epochs=1).train()

    def resume_frozen():
        runner = toy(resume=True)
        runner.model.layer.bias.requires_grad = False
        build = runner.build_optim_wrapper

        def only_trained(optim_wrapper):
            built = build(optim_wrapper)
            group = built.optimizer.param_groups[0]
            group['params'] = [each for each in group['params'] if each.requires_grad]
            return built

        runner.build_optim_wrapper = only_trained
        runner.train()

    message = r'1 parameters were trained but are not now \(layer\.bias\); .*load_from'
    with pytest.raises(ValueError, match=message):
        resume_frozen()
    # a checkpoint of an earlier version, which does not name them
    saved = torch.load(tmp_path / 'epoch_1.pth')
    del saved['resume_state']['parameters']
    torch.save(saved, tmp_path / 'epoch_1.pth')
    with pytest.raises(ValueError, match=r'had sizes \[2\] and now have \[1\]; .*load'):
        resume_frozen()


def test_weights_without_optimiser_are_reported(toy, tmp_path, warnings_of):
    toy(max_epochs=1, scores=[1.0], **BEST).train()
    runner = toy(resume=True, load_from=str(tmp_path / 'best_toy_score_epoch_1.pth'))
    warnings = warnings_of(runner)
    runner.train()
    assert any('best_toy_score_epoch_1.pth has weights but no state' in line for line in warnings)


def test_best_score_of_another_rule_is_dropped(toy, tmp_path):
    toy(max_epochs=1, scores=[70.0], **BEST).train()
    runner = toy(scores=[90.0, 80.0], resume=True, max_epochs=3, **dict(BEST, rule='less'))
    runner.train()
    assert runner.message_hub.get_info('best_score') == 80.0
    assert {path.name for path in tmp_path.glob('best_*')} == {
        'best_toy_score_epoch_1.pth',
        'best_toy_score_epoch_3.pth',
    }


STOPPING = (dict(type='EarlyStoppingHook', monitor='toy/score', rule='greater', patience=2),)


def test_early_stopping_is_resumed(toy, tmp_path):
    scores = [3.0, 2.0, 1.0, 0.0]
    settings = dict(hooks=STOPPING, max_epochs=4)
    straight = toy(scores=list(scores), work_dir=tmp_path / 'straight', **settings)
    straight.train()
    assert straight.epoch == 3
    toy(scores=scores[:2], hooks=STOPPING, max_epochs=2).train()
    # the newest checkpoint is older than the second validation, which is repeated
    resumed = toy(scores=scores[1:], resume=True, **settings)
    resumed.train()
    assert resumed.epoch == 3
    (hook,) = (hook for hook in resumed.hooks if isinstance(hook, EarlyStoppingHook))
    assert (hook.best_score, hook.wait_count) == (3.0, 2)


def test_early_stopping_is_resumed_after_a_better_score(toy):
    """Such a checkpoint is written after the validation, and must store its count."""
    settings = dict(hooks=STOPPING, **BEST)
    toy(scores=[1.0, 3.0], max_epochs=2, **settings).train()
    resumed = toy(scores=[2.0, 2.5, 2.6, 2.7], max_epochs=6, resume=True, **settings)
    resumed.train()
    assert resumed.epoch == 4


@pytest.mark.parametrize('stop', [3, 7])
def test_averaged_weights_resume_bit_exactly(toy, interrupt, tmp_path, stop):
    settings = dict(hooks=(dict(type='EMAHook', momentum=0.1),), by_epoch=False, interval=2)
    toy(work_dir=tmp_path / 'straight', scores=[1.0, 2.0], **settings).train()
    interrupt(toy(work_dir=tmp_path / 'stopped', scores=[1.0, 2.0], **settings), stop)
    scores = [1.0, 2.0] if stop < 6 else [2.0]
    toy(work_dir=tmp_path / 'stopped', scores=scores, resume=True, **settings).train()
    ours, theirs = (torch.load(tmp_path / run / 'iter_10.pth') for run in ('stopped', 'straight'))
    for part in ('state_dict', 'ema_state_dict'):
        assert ours[part].keys() == theirs[part].keys()
        for key, value in ours[part].items():
            assert torch.equal(value, theirs[part][key]), (part, key)
