"""The hook in whole runs of a tiny project."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tiny import make_project

from ts2net_mm.engine import TokenVisualizationHook, token_visualization
from ts2net_mm.visualization import draw_strips, record_tokens, stack_strips


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('project'), num_videos=6)


@pytest.fixture
def run(project, tmp_path, quick_runs):
    """Function that trains with the hook and returns the runner and the pictures' names."""

    def run(folder='run', backends=('LocalVisBackend',), options=None, **hook):
        cfg = Config.fromfile(project / 'config.py')
        cfg.work_dir = str(tmp_path / folder)
        cfg.experiment_name = f'{tmp_path.name}-{folder}'
        cfg.randomness = dict(seed=0)
        cfg.visualizer.vis_backends = [dict(type=name) for name in backends]
        cfg.merge_from_dict({'train_cfg.val_interval': 9} | (options or {}))
        if hook:
            cfg.custom_hooks = [dict(type='TokenVisualizationHook', **hook)]
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner, sorted(path.name for path in (tmp_path / folder).rglob('*.png'))

    return run


def test_the_chosen_videos_at_the_chosen_epochs(run):
    options = {'train_cfg.max_epochs': 3}
    _, names = run(options=options, video_ids=['4.mp4', '1.mp4'], interval=2, strips=['frames'])
    assert names == [f'tokens_{video}.mp4_{epoch}.png' for video in (1, 4) for epoch in (2, 3)]


@pytest.mark.slow
def test_evenly_spaced_videos_after_iterations(run):
    hook = dict(num_videos=2, interval=4, by_epoch=False, strips=['frames'])
    _, names = run(**hook)  # 2 epochs of 3 batches
    assert names == [f'tokens_{video}.mp4_{step}.png' for video in (0, 3) for step in (4, 6)]


def test_the_picture_is_that_of_the_model(run, tmp_path):
    runner, _ = run(video_ids=['2.mp4'], interval=2, strips=['frames', 'chosen'])
    dataset = runner.val_loop.dataloader.dataset
    inputs = dataset[2]['inputs']
    model = runner.model.eval()
    text = model.encode_text(torch.as_tensor(inputs['text'])[:1]).detach()
    record = record_tokens(model, inputs, text, name='2.mp4', caption='clip number 2')
    expected = stack_strips(draw_strips(record, ['frames', 'chosen']))
    (path,) = tmp_path.rglob('*.png')
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], expected)


@pytest.mark.slow
def test_training_is_bit_identical_with_the_hook(run):
    plain, _ = run('plain')
    watched, names = run('watched', num_videos=1, interval=2, by_epoch=False, strips=['frames'])
    assert len(names) == 3
    expected = plain.model.state_dict()
    for key, value in watched.model.state_dict().items():
        assert torch.equal(value, expected[key])


def test_only_the_main_process_reads_and_draws(run, monkeypatch):
    monkeypatch.setattr(token_visualization, 'is_main_process', lambda: False)
    monkeypatch.setattr(token_visualization, '_read', None)
    assert run(num_videos=2)[1] == []


@pytest.mark.slow
def test_tensorboard_gets_the_pictures(run, tmp_path):
    loading = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    run(backends=('TensorboardVisBackend',), video_ids=['5.mp4'], strips=['frames'])
    (path,) = tmp_path.rglob('events.out.tfevents.*')
    events = loading.EventAccumulator(str(path))
    events.Reload()
    assert events.Tags()['images'] == ['tokens_5.mp4']
    assert [event.step for event in events.Images('tokens_5.mp4')] == [1, 2]


def test_a_video_that_a_test_skips_is_left_out(run, project, capfd):
    path = project / '0.mp4'
    content = path.read_bytes()
    path.write_bytes(b'no video')
    options = {'val_dataloader.dataset.on_bad_video': 'skip'}
    try:
        _, names = run(options=options, video_ids=['0.mp4', '1.mp4'], strips=['frames'])
    finally:
        path.write_bytes(content)
    assert names == ['tokens_1.mp4_1.png', 'tokens_1.mp4_2.png']
    assert f'leaves out {path}: it is damaged or no video' in capfd.readouterr().out


@pytest.mark.parametrize(
    ('settings', 'options', 'message'),
    [
        (dict(interval=0), {}, 'interval=0 and num_videos=4 must be at least 1'),
        (dict(video_ids=['a.mp4']), {}, "the validation data have no video 'a.mp4'"),
        (dict(strips=['dots']), {}, "strip 'dots' is unknown, choose of frames, chosen"),
        (
            dict(interval=1),
            dict(val_cfg=None, val_dataloader=None, val_evaluator=None),
            'draws validation videos, and the run has none',
        ),
    ],
)
def test_wrong_settings_are_named(run, settings, options, message):
    with pytest.raises(ValueError, match=message):
        run(options=options, **settings)


def test_another_model_is_an_error():
    runner = type('Runner', (), dict(val_loop=True, model=torch.nn.Identity()))()
    with pytest.raises(ValueError, match='draws a TS2Net, found Identity'):
        TokenVisualizationHook().before_train(runner)
