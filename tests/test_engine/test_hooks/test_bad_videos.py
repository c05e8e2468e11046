"""The hook alone; whole runs are in tests/test_tools/test_runs_with_bad_videos.py."""

from types import SimpleNamespace

import pytest
from mmaction.registry import HOOKS
from mmaction.structures import ActionDataSample
from mmengine.dataset import ConcatDataset, RepeatDataset

from ts2net_mm.datasets import BadVideosError, TextVideoDataset
from ts2net_mm.engine import BadVideosHook, hooks


@pytest.fixture
def dataset(tmp_path) -> TextVideoDataset:
    """A hundred videos with two captions each."""
    names = [f'{number}.mp4' for number in range(100)]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / 'all.json').write_text(str({name: ['x', 'y'] for name in names}).replace("'", '"'))
    return TextVideoDataset(
        ann_file=str(tmp_path / 'all.json'), data_prefix=dict(video=str(tmp_path)), pipeline=()
    )


@pytest.fixture
def runner(dataset) -> SimpleNamespace:
    loader = SimpleNamespace(dataset=dataset)
    records: list[str] = []
    logger = SimpleNamespace(info=records.append, warning=records.append)
    return SimpleNamespace(
        train_dataloader=loader,
        val_dataloader=loader,
        test_dataloader=loader,
        logger=logger,
        records=records,
        iter=0,
        epoch=0,
    )


def batch(*replaced, size=4, skip=False) -> dict:
    """A batch of which some items stand in for the numbered videos."""
    samples = []
    for numbers in (*replaced, *((),) * (size - len(replaced))):
        sample = ActionDataSample()
        if numbers:
            sample.set_metainfo(
                dict(
                    bad_videos=[
                        dict(
                            video_id=str(n),
                            filename=f'/{n}.mp4',
                            reason=f'reason {n}',
                            num_texts=1,
                            skip=skip,
                        )
                        for n in numbers
                    ]
                )
            )
        samples.append(sample)
    return dict(inputs={}, data_samples=samples)


def run_epoch(hook, runner, *batches):
    hook.before_train_epoch(runner)
    for index, data in enumerate(batches):
        hook.after_train_iter(runner, index, data_batch=data, outputs={})
        runner.iter += 1
    hook.after_train_epoch(runner)
    runner.epoch += 1


def test_names_once_and_counts_by_epoch(runner):
    hook = HOOKS.build(dict(type='BadVideosHook', max_share=0.05))
    assert isinstance(hook, BadVideosHook)
    run_epoch(hook, runner, batch(), batch([3]), batch([3], [4, 5]))
    assert runner.records == [
        'cannot read video /3.mp4: reason 3; replaced',
        'cannot read video /4.mp4: reason 4; replaced',
        'cannot read video /5.mp4: reason 5; replaced',
        'Epoch(train) [1]  replaced items: 3, unreadable videos so far: 3 of 100',
    ]
    runner.records.clear()
    run_epoch(hook, runner, batch([4]), batch())
    assert runner.records == [
        'Epoch(train) [2]  replaced items: 1, unreadable videos so far: 3 of 100'
    ]
    runner.records.clear()
    run_epoch(hook, runner, batch(), batch())
    assert not runner.records


def test_too_many(runner):
    """More than 2 of 100 videos; the same two may come as often as they like."""
    hook = BadVideosHook(max_share=0.02)
    run_epoch(hook, runner, *[batch([1], [2])] * 50)
    with pytest.raises(BadVideosError) as caught:
        hook.after_train_iter(runner, 0, data_batch=batch([1], [7]))
    assert str(caught.value) == (
        '3 of 100 training videos cannot be read, more than max_share=0.02; fix them or remove '
        'them from the annotation\n  /1.mp4: reason 1\n  /2.mp4: reason 2\n  /7.mp4: reason 7'
    )


def test_one_percent_by_default(runner):
    hook = BadVideosHook()
    hook.after_train_iter(runner, 0, data_batch=batch([1]))
    with pytest.raises(BadVideosError, match='2 of 100 training videos .* max_share=0.01'):
        hook.after_train_iter(runner, 0, data_batch=batch([2]))


def test_several_processes_meet_every_interval_and_at_the_end(runner, monkeypatch):
    meetings = []

    def gather(mine):
        meetings.append((runner.iter + 1, len(mine)))
        theirs = hook._other.pop(0) if hook._other else []
        return [mine, theirs]

    module = hooks
    monkeypatch.setattr(module, 'all_gather_object', gather)
    monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    hook = BadVideosHook(interval=3, max_share=1)
    other = hooks.bad_videos_of(batch([8]))
    hook._other = [[], [other]]
    run_epoch(hook, runner, *[batch([n]) for n in range(1, 9)])
    assert meetings == [(3, 3), (6, 3), (9, 2)]
    assert [line for line in runner.records if '/8.mp4' in line] == [
        'cannot read video /8.mp4: reason 8; replaced'
    ]
    assert (
        runner.records[-1]
        == 'Epoch(train) [1]  replaced items: 9, unreadable videos so far: 8 of 100'
    )


@pytest.mark.parametrize('phase', ['val', 'test'])
def test_error_after_a_test_for_metrics_that_know_nothing(runner, phase):
    hook = BadVideosHook()
    getattr(hook, f'before_{phase}')(runner)
    after_iter = getattr(hook, f'after_{phase}_iter')
    after_iter(runner, 0, data_batch=batch([3]), outputs=[])
    after_iter(runner, 1, data_batch=batch([9], [4]), outputs=[])
    with pytest.raises(BadVideosError, match=r'3 of 200 test videos(.|\n)*/3(.|\n)*/4(.|\n)*/9'):
        getattr(hook, f'after_{phase}_epoch')(runner, metrics={})
    after_iter(runner, 0, data_batch=batch([3], skip=True), outputs=[])
    getattr(hook, f'after_{phase}_epoch')(runner, metrics={})


@pytest.mark.parametrize('phase', ['train', 'val', 'test'])
@pytest.mark.parametrize(
    'wrap',
    [
        lambda dataset: dataset,
        lambda dataset: RepeatDataset(dataset, times=2),
        lambda dataset: ConcatDataset([dataset, dataset]),
        lambda dataset: SimpleNamespace(_dataset=RepeatDataset(dataset, times=2)),
    ],
)
def test_data_sets_are_told(runner, dataset, phase, wrap):
    runner.train_dataloader.dataset = wrap(dataset)
    assert not dataset.bad_videos_watched
    getattr(BadVideosHook(), f'before_{phase}')(runner)
    assert dataset.bad_videos_watched


def test_data_sets_of_others_do_not_matter(runner):
    runner.train_dataloader.dataset = ['a', 'list']
    hook = BadVideosHook()
    hook.before_train(runner)
    run_epoch(hook, runner, dict(inputs=1), [1, 2], None, dict(data_samples=None))
    assert not runner.records


@pytest.mark.parametrize('settings', [dict(max_share=-0.1), dict(max_share=1.5), dict(interval=0)])
def test_bad_settings(settings):
    with pytest.raises(ValueError, match=r'max_share=\S+ must be between 0 and 1, interval=\d+ at'):
        BadVideosHook(**settings)
