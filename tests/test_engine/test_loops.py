"""The loop with a toy; tests/test_tools/test_interruption.py kills a real training."""

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler, pseudo_collate
from torch.utils.data import BatchSampler, DataLoader

from ts2net_mm.engine.loops import RepeatableBatches, repeatable_loader

EVERY_SECOND = dict(by_epoch=False, interval=2)


@pytest.mark.parametrize('stop', range(2, 10))
def test_resumed_run_equals_an_uninterrupted_one(toy, interrupt, tmp_path, stop):
    """With checkpoints every 2 iterations. The resumed run has another seed, without effect."""
    expected = toy(work_dir=tmp_path / 'straight', scores=[2.0, 3.0]).train()
    interrupted = toy(work_dir=tmp_path / 'interrupted', scores=[2.0, 3.0], **EVERY_SECOND)
    interrupt(interrupted, stop)
    saved = stop // 2 * 2
    scores = [2.0, 3.0] if saved < 5 else [3.0]
    settings = dict(EVERY_SECOND, resume=True, seed=7)
    found = toy(work_dir=tmp_path / 'interrupted', scores=scores, **settings).train()

    assert found.losses == expected.losses[saved:]
    assert found.batches == expected.batches[saved:]
    assert torch.equal(found.layer.weight, expected.layer.weight)


@pytest.mark.parametrize('better', [True, False])
def test_interrupted_validation_runs_on_resume(toy, tmp_path, better):
    """The checkpoint of the first epoch is complete, the validation after it is not."""

    def make(run: str, **settings):
        scores = [5.0, 6.0 if better else 4.0]
        best = dict(save_best='toy/score', rule='greater')
        return toy(work_dir=tmp_path / run, scores=scores, **best, **settings)

    straight = make('straight')
    expected = straight.train()
    interrupted = make('interrupted')
    interrupted.train_loop  # noqa: B018  (builds it)
    interrupted.val_loop.run = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        interrupted.train()

    resumed = make('interrupted', resume=True)
    assert resumed.train().losses == expected.losses[5:]
    for name in ('best_score', 'keep_ckpt_ids'):
        values = [run.message_hub.get_info(name) for run in (straight, resumed)]
        assert values[0] == values[1]
    best = [{path.name for path in folder.glob('best*')} for folder in tmp_path.iterdir()]
    assert best[0] == best[1] == {f'best_toy_score_epoch_{2 if better else 1}.pth'}


def test_result_of_that_validation_is_saved(toy, interrupt, tmp_path):
    settings = dict(save_best='toy/score', rule='greater')
    with pytest.raises(IndexError):  # of the empty list of scores
        toy(scores=[], **settings).train()
    assert 'best_score' not in torch.load(tmp_path / 'epoch_1.pth')['message_hub']['runtime_info']
    interrupt(toy(scores=[5.0], resume=True, **settings), 0)
    saved = torch.load(tmp_path / 'epoch_1.pth')['message_hub']['runtime_info']
    assert saved['best_score'] == 5.0


def test_validation_is_not_repeated_if_its_result_was_saved(toy):
    settings = dict(save_best='toy/score', rule='greater')
    toy(scores=[5.0, 6.0], **settings).train()
    assert toy(scores=[], resume=True, **settings).train().losses == []


def test_training_does_not_depend_on_validation(toy, tmp_path):
    without = toy(work_dir=tmp_path / 'without').train()
    validated = toy(work_dir=tmp_path / 'validated', scores=[1.0, 2.0]).train()
    assert validated.losses == without.losses


def test_another_number_of_batches(toy, interrupt):
    """At the end of an epoch the run continues, inside an epoch there is no way to."""
    interrupt(toy(**EVERY_SECOND), 3)
    message = 'saved after 2 of 5 batches of an epoch that now has 6'
    with pytest.raises(ValueError, match=message):
        toy(resume=True, size=12, **EVERY_SECOND).train()
    interrupt(toy(), 5)
    assert len(toy(resume=True, size=12).train().losses) == 6


def test_items_depend_on_seed_epoch_and_index_alone(toy):
    data = toy().train_dataloader.dataset._dataset

    def items(workers: int) -> list[list[float]]:
        sampler = DefaultSampler(data, shuffle=False, seed=4)
        loader = repeatable_loader(
            DataLoader(
                data,
                batch_sampler=BatchSampler(sampler, batch_size=5, drop_last=False),
                num_workers=workers,
                collate_fn=pseudo_collate,
            )
        )
        found = []
        for epoch in (0, 1, 0):
            sampler.set_epoch(epoch)
            before = torch.get_rng_state()
            found.append([x.item() for batch in loader for x in batch['inputs']])
            assert torch.equal(torch.get_rng_state(), before)
        return found

    first = items(workers=0)
    assert first[0] == first[2]
    assert not set(first[0]) & set(first[1])
    assert items(workers=2) == first


def test_unsuitable_training_data(toy):
    sampler = InfiniteSampler(range(4), seed=0)
    with pytest.raises(TypeError, match='needs a sampler with seed and .* has no epoch'):
        RepeatableBatches(BatchSampler(sampler, batch_size=2, drop_last=True))
    message = r'the training data have 1 items, fewer than 2 on each of 1 processes, and drop_last'
    with pytest.raises(ValueError, match=message):
        toy(size=1, drop_last=True).train()
