"""What a resumed run does with a config that has changed."""

import pytest
import torch
from mmengine.hooks import EarlyStoppingHook

SCHEDULE = dict(type='WarmupCosineLR', warmup_ratio=0.2, by_epoch=False)


def rates(runner) -> list[float]:
    """Train, and note the rate of each step."""
    found = []
    step = runner.model.train_step

    def noted(data, optim_wrapper):
        found.append(optim_wrapper.param_groups[0]['lr'])
        return step(data, optim_wrapper)

    runner.model.train_step = noted
    runner.train()
    return found


@pytest.fixture
def scheduled(toy):
    """Function that makes the toy with the released schedule."""

    def make(*, lr=1e-3, **settings):
        runner = toy(**settings)
        runner.param_schedulers = [dict(SCHEDULE)]
        runner.optim_wrapper['optimizer']['lr'] = lr
        return runner

    return make


def warnings_of(runner, monkeypatch) -> list[str]:
    warnings: list[str] = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    return warnings


def test_more_epochs_follow_the_longer_schedule(scheduled, tmp_path):
    straight = rates(scheduled(max_epochs=4, work_dir=tmp_path / 'straight'))
    assert rates(scheduled(max_epochs=2)) != straight[:10]
    resumed = rates(scheduled(max_epochs=4, resume=True))
    assert resumed == straight[10:]


def test_settings_that_a_resume_does_not_honour_are_named(scheduled, monkeypatch):
    scheduled(max_epochs=1).train()
    runner = scheduled(max_epochs=2, resume=True, lr=5e-3)
    warnings = warnings_of(runner, monkeypatch)
    found = rates(runner)
    expected = '--resume keeps the setting of the checkpoint: optimizer lr=0.001, not 0.005'
    assert [one for one in warnings if 'keeps' in one] == [expected]
    assert max(found) < 1e-3


def test_another_batch_size_is_named(toy, monkeypatch):
    toy(max_epochs=1).train()
    runner = toy(resume=True)
    runner._train_dataloader['batch_size'] = 5
    warnings = warnings_of(runner, monkeypatch)
    runner.train()
    assert any(one.startswith('the batch size was 2 and is now 5') for one in warnings)


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize('batch_size', [5, 1])
def test_another_batch_size_ends_with_the_schedule(scheduled, tmp_path, by_epoch, batch_size):
    """After one epoch of five batches; interrupted a second time inside one of the new epochs."""
    settings = dict(by_epoch=by_epoch, interval=1)
    scheduled(max_epochs=1, **settings).train()
    batches = 10 // batch_size
    straight = rates(scheduled(work_dir=tmp_path / 'straight', size=2 * batches, max_epochs=3))

    def resumed():
        runner = scheduled(max_epochs=3, resume=True, **settings)
        runner._train_dataloader['batch_size'] = batch_size
        return runner

    runner = resumed()
    seen = runner.model.losses

    def spoil(loss):
        if len(seen) == batches + 1:
            raise KeyboardInterrupt
        return loss

    runner.model.spoil = spoil
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    done = batches if by_epoch else batches + 1
    last = resumed()
    assert rates(last) == straight[batches + done :]
    assert last.iter == last.max_iters == 5 + 2 * batches
    assert (tmp_path / ('epoch_3.pth' if by_epoch else f'iter_{last.iter}.pth')).exists()


def test_another_optimiser_is_an_error(toy):
    toy(max_epochs=1).train()
    runner = toy(resume=True)
    runner.optim_wrapper['optimizer'] = dict(type='AdamW', lr=1e-3)
    with pytest.raises(ValueError, match='the optimiser was SGD and is now AdamW; .*load_from'):
        runner.train()


def test_weights_alone_are_named(toy, tmp_path, monkeypatch):
    toy(max_epochs=1, scores=[1.0], save_best='toy/score', rule='greater').train()
    runner = toy(resume=True, load_from=str(tmp_path / 'best_toy_score_epoch_1.pth'))
    warnings = warnings_of(runner, monkeypatch)
    runner.train()
    assert any('best_toy_score_epoch_1.pth has weights but no state' in one for one in warnings)


def test_best_score_of_another_rule_is_forgotten(toy, tmp_path):
    toy(max_epochs=1, scores=[70.0], save_best='toy/score', rule='greater').train()
    settings = dict(save_best='toy/score', rule='less', max_epochs=3)
    runner = toy(scores=[90.0, 80.0], resume=True, **settings)
    runner.train()
    assert runner.message_hub.get_info('best_score') == 80.0
    assert {path.name for path in tmp_path.glob('best_*')} == {
        'best_toy_score_epoch_1.pth',
        'best_toy_score_epoch_3.pth',
    }


def test_other_trained_parameters_are_an_error(toy, tmp_path):
    toy(max_epochs=1).train()

    def freeze(runner):
        runner.model.layer.bias.requires_grad = False
        build = runner.build_optim_wrapper

        def only_trained(optim_wrapper):
            built = build(optim_wrapper)
            group = built.optimizer.param_groups[0]
            group['params'] = [one for one in group['params'] if one.requires_grad]
            return built

        runner.build_optim_wrapper = only_trained
        return runner

    message = r'1 parameters were trained but are not now \(layer\.bias\); .*load_from'
    with pytest.raises(ValueError, match=message):
        freeze(toy(resume=True)).train()
    # a checkpoint of an earlier version, which does not name them
    saved = torch.load(tmp_path / 'epoch_1.pth')
    del saved['resume_state']['parameters']
    torch.save(saved, tmp_path / 'epoch_1.pth')
    with pytest.raises(ValueError, match=r'had sizes \[2\] and now have \[1\]; .*load'):
        freeze(toy(resume=True)).train()


def test_early_stopping_counts_on(toy, tmp_path):
    stopping = dict(type='EarlyStoppingHook', monitor='toy/score', rule='greater', patience=2)
    scores = [3.0, 2.0, 1.0, 0.0]
    settings = dict(hooks=(stopping,), max_epochs=4)
    straight = toy(scores=list(scores), work_dir=tmp_path / 'straight', **settings)
    straight.train()
    assert straight.epoch == 3
    toy(scores=scores[:2], hooks=(stopping,), max_epochs=2).train()
    # the newest checkpoint was written before the second validation, which is made up for
    resumed = toy(scores=scores[1:], resume=True, **settings)
    resumed.train()
    assert resumed.epoch == 3
    (hook,) = (one for one in resumed.hooks if isinstance(one, EarlyStoppingHook))
    assert (hook.best_score, hook.wait_count) == (3.0, 2)


def test_early_stopping_counts_on_after_a_better_score(toy, tmp_path):
    """Such a checkpoint is written after the validation, and must hold its count."""
    stopping = dict(type='EarlyStoppingHook', monitor='toy/score', rule='greater', patience=2)
    settings = dict(hooks=(stopping,), save_best='toy/score', rule='greater')
    toy(scores=[1.0, 3.0], max_epochs=2, **settings).train()
    resumed = toy(scores=[2.0, 2.5, 2.6, 2.7], max_epochs=6, resume=True, **settings)
    resumed.train()
    assert resumed.epoch == 4


@pytest.mark.parametrize('stop', [3, 7])
def test_averaged_weights_resume_to_the_bit(toy, tmp_path, stop):
    settings = dict(hooks=(dict(type='EMAHook', momentum=0.1),), by_epoch=False, interval=2)
    toy(work_dir=tmp_path / 'straight', scores=[1.0, 2.0], **settings).train()
    broken = toy(work_dir=tmp_path / 'broken', scores=[1.0, 2.0], **settings)
    model = broken.model

    def spoil(loss):
        if len(model.losses) == stop:
            raise KeyboardInterrupt
        return loss

    model.spoil = spoil
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    scores = [1.0, 2.0] if stop < 6 else [2.0]
    toy(work_dir=tmp_path / 'broken', scores=scores, resume=True, **settings).train()
    ours, theirs = (torch.load(tmp_path / run / 'iter_10.pth') for run in ('broken', 'straight'))
    for part in ('state_dict', 'ema_state_dict'):
        assert ours[part].keys() == theirs[part].keys()
        for key, value in ours[part].items():
            assert torch.equal(value, theirs[part][key]), (part, key)


def test_fewer_items_than_a_batch(toy):
    runner = toy(size=1)
    runner._train_dataloader['drop_last'] = True
    message = r'the training data have 1 items, fewer than 2 on each of 1 processes, and drop_last'
    with pytest.raises(ValueError, match=message):
        runner.train()
