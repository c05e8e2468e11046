"""The loop with a toy; tests/test_tools/test_interruption.py kills a real training."""

import pickle
import re

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler, pseudo_collate
from torch.utils.data import BatchSampler, DataLoader

from ts2net_mm.engine.loops import RepeatableBatches, repeatable_loader


def stop_before(runner, iteration: int) -> None:
    """Let the model interrupt the run in an iteration."""
    model = runner.model

    def spoil(loss):
        if len(model.losses) == iteration - 1:
            raise KeyboardInterrupt
        return loss

    model.spoil = spoil


@pytest.mark.parametrize('stop', range(3, 11))
def test_resumed_run_goes_on_as_the_straight_one(toy, tmp_path, stop):
    """With checkpoints every 2 iterations; another seed of the resumed run does not matter."""
    straight = toy(work_dir=tmp_path / 'straight', scores=[2.0, 3.0])
    expected = straight.train()

    broken = toy(work_dir=tmp_path / 'broken', scores=[2.0, 3.0], by_epoch=False, interval=2)
    stop_before(broken, stop)
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    saved = (stop - 1) // 2 * 2
    scores = [2.0, 3.0] if saved < 5 else [3.0]
    settings = dict(by_epoch=False, interval=2, resume=True, seed=7)
    found = toy(work_dir=tmp_path / 'broken', scores=scores, **settings).train()

    assert found.losses == expected.losses[saved:]
    assert found.batches == expected.batches[saved:]
    assert torch.equal(found.layer.weight, expected.layer.weight)


@pytest.mark.parametrize('better', [True, False])
def test_validation_that_was_interrupted_is_made_up_for(toy, tmp_path, better):
    """The checkpoint of the first epoch is complete, the validation after it is not."""
    settings = dict(scores=[5.0, 6.0 if better else 4.0], save_best='toy/score', rule='greater')
    straight = toy(work_dir=tmp_path / 'straight', **settings)
    expected = straight.train()
    settings['scores'] = [5.0, 6.0 if better else 4.0]
    broken = toy(work_dir=tmp_path / 'broken', **settings)
    broken.train_loop  # noqa: B018  (builds it)
    broken.val_loop.run = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        broken.train()

    settings['scores'] = [5.0, 6.0 if better else 4.0]
    resumed = toy(work_dir=tmp_path / 'broken', resume=True, **settings)
    assert resumed.train().losses == expected.losses[5:]
    for name in ('best_score', 'keep_ckpt_ids'):
        values = [run.message_hub.get_info(name) for run in (straight, resumed)]
        assert values[0] == values[1]
    best = [{path.name for path in one.glob('best*')} for one in tmp_path.iterdir()]
    assert best[0] == best[1] == {f'best_toy_score_epoch_{2 if better else 1}.pth'}


def test_result_of_that_validation_is_saved(toy, tmp_path):
    broken = toy(scores=[], save_best='toy/score', rule='greater')
    with pytest.raises(IndexError):  # of the empty list of scores
        broken.train()
    assert 'best_score' not in torch.load(tmp_path / 'epoch_1.pth')['message_hub']['runtime_info']
    resumed = toy(scores=[5.0], save_best='toy/score', rule='greater', resume=True)
    stop_before(resumed, 1)
    with pytest.raises(KeyboardInterrupt):
        resumed.train()
    saved = torch.load(tmp_path / 'epoch_1.pth')['message_hub']['runtime_info']
    assert saved['best_score'] == 5.0


def test_training_does_not_depend_on_validation(toy, tmp_path):
    without = toy(work_dir=tmp_path / 'without').train()
    validated = toy(work_dir=tmp_path / 'validated', scores=[1.0, 2.0]).train()
    assert validated.losses == without.losses


def test_validation_is_not_repeated_where_its_result_was_saved(toy, tmp_path):
    first = toy(scores=[5.0, 6.0], save_best='toy/score', rule='greater')
    first.train()
    again = toy(scores=[], resume=True, save_best='toy/score', rule='greater')
    assert again.train().losses == []


def test_position_in_the_log_goes_on(toy):
    broken = toy(by_epoch=False, interval=2)
    stop_before(broken, 4)
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    resumed = toy(by_epoch=False, interval=2, resume=True)
    seen = []
    resumed.train_loop.run_iter, run_iter = (
        lambda index, batch: (seen.append(index), run_iter(index, batch)),
        resumed.train_loop.run_iter,
    )
    resumed.train()
    assert seen == [2, 3, 4, 0, 1, 2, 3, 4]


def test_another_number_of_batches_inside_an_epoch(toy):
    first = toy(by_epoch=False, interval=2)
    stop_before(first, 4)
    with pytest.raises(KeyboardInterrupt):
        first.train()
    with pytest.raises(ValueError, match='saved after 2 of 5 batches of an epoch that now has 6'):
        toy(by_epoch=False, interval=2, resume=True, size=12).train()


def test_another_number_of_batches_at_the_end_of_an_epoch(toy, log_records):
    first = toy()
    stop_before(first, 6)
    with pytest.raises(KeyboardInterrupt):
        first.train()
    resumed = toy(resume=True, size=12)
    assert len(resumed.train().losses) == 6


def test_items_depend_on_seed_epoch_and_index_alone(toy):
    data = toy().train_dataloader.dataset._dataset

    def items(workers: int) -> list[list[float]]:
        sampler = DefaultSampler(data, shuffle=False, seed=4)
        loader = DataLoader(
            data,
            batch_sampler=BatchSampler(sampler, batch_size=5, drop_last=False),
            num_workers=workers,
            collate_fn=pseudo_collate,
        )
        loader = repeatable_loader(loader)
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


def test_start_is_used_once(toy):
    data = toy().train_dataloader.dataset
    sampler = DefaultSampler(data, shuffle=False, seed=4)
    batches = RepeatableBatches(BatchSampler(sampler, batch_size=4, drop_last=False))
    batches.start = 2
    assert list(batches) == [[(4, 0, 8), (4, 0, 9)]]
    assert len(list(batches)) == len(batches) == 3
    assert batches.batch_size == 4


def test_data_set_looks_like_itself(toy):
    data = toy().train_dataloader.dataset
    assert data.metainfo == {}
    assert len(pickle.loads(pickle.dumps(data))) == len(data) == 10
    with pytest.raises(AttributeError, match='colour'):
        data.colour  # noqa: B018


def test_sampler_without_seed(toy):
    sampler = InfiniteSampler(range(4), seed=0)
    message = (
        'needs a sampler with seed and epoch, such as DefaultSampler; InfiniteSampler has no epoch'
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        RepeatableBatches(BatchSampler(sampler, batch_size=2, drop_last=True))
