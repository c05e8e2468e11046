"""Chosen patches against boxes, with scores that are known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis/selection_touch.py')


@pytest.mark.parametrize(
    ('box', 'patches'),
    [
        ((0, 0, 8, 8), [0]),
        ((7, 0, 9, 8), [0, 1]),
        ((8, 8, 16, 16), [5]),
        ((15, 15, 17, 17), [5, 6, 9, 10]),
        ((0, 31, 32, 32), [12, 13, 14, 15]),
    ],
)
@pytest.mark.parametrize('zoom', [1, 3])
def test_touched_patches(tool, box, patches, zoom):
    boxes = np.array([box]) * zoom
    found = tool.touched_patches(boxes, (32 * zoom, 32 * zoom), 32, 4)
    assert np.flatnonzero(found[0]).tolist() == patches


def test_boxes_move_with_the_centre_crop(tool):
    """A frame of 64 x 128 becomes 32 x 64, of which columns 16 to 47 remain."""
    boxes = np.array([[32, 0, 48, 16], [0, 0, 30, 64], [88, 56, 128, 64]])
    found = tool.touched_patches(boxes, (64, 128), 32, 4)
    assert [np.flatnonzero(row).tolist() for row in found] == [[0], [], [15]]


def test_chance_is_that_of_random_patches(tool):
    rng = np.random.default_rng(0)
    draws = [rng.permutation(16)[:3] for _ in range(20000)]
    hits = np.array([(draw < 4).sum() for draw in draws])  # 4 of 16 patches are touched
    touches = tool.Touches(hits, np.full(len(hits), 4), 3, 16)
    share, chance, frames, chance_of_frames = touches.rates()
    assert chance == 25
    assert share == pytest.approx(chance, abs=1)
    assert frames == pytest.approx(chance_of_frames, abs=1)


class _Brightness(torch.nn.Module):
    """A model that scores each of 4 x 4 patches by its brightness."""

    def __init__(self):
        super().__init__()
        self.neck = torch.nn.Identity()
        self.neck.topk, self.neck.patch_scores = 2, lambda scores: scores

    def data_preprocessor(self, batch, training):
        return batch

    def encode_video(self, imgs, mask):
        patches = imgs.unflatten(-1, (4, 8)).unflatten(-3, (4, 8)).mean(dim=(2, 4, 6))
        self.neck(patches.flatten(2))


def test_the_patches_with_the_best_scores_of_valid_frames_count(tool):
    imgs = torch.zeros(1, 3, 3, 32, 32)
    imgs[0, 0, :, :16, 8:16] = 1.0  # patches 1 and 5
    imgs[0, 1, :, 8:16, 8:24] = 1.0  # patches 5 and 6
    sample = SimpleNamespace(video_id='a', frame_inds=[2, 0, 1], original_shape=(64, 64))
    inputs = dict(imgs=imgs, frame_mask=torch.tensor([[True, True, False]]))
    boxes = {'a': [[16, 16, 32, 32], [0, 0, 64, 64], [16, 0, 32, 32]]}  # 5; all; 1 and 5
    batch = dict(inputs=inputs, data_samples=[sample])
    found = tool.count_touches(_Brightness(), [batch], boxes)
    assert found.chosen.tolist() == [2, 1]
    assert found.touched.tolist() == [2, 1]
    assert (found.topk, found.num_patches) == (2, 16)


def _with_neck(project, folder, neck):
    """A config with another neck, and random weights of its model."""
    config, weights = folder / 'other.py', folder / 'weights.pth'
    config.write_text(f"_base_ = '{project / 'config.py'}'\nmodel = dict(neck={neck})\n")
    torch.save({'state_dict': MODELS.build(Config.fromfile(config).model).state_dict()}, weights)
    return config, weights


@pytest.fixture
def random_model(project, tmp_path):
    """A config, random weights of its model, and the names of its videos."""
    cfg = Config.fromfile(project / 'config.py')
    model = MODELS.build(cfg.model)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'weights.pth')
    names = json.loads((project / 'all.json').read_text())
    return project / 'config.py', tmp_path / 'weights.pth', list(names)


@pytest.mark.parametrize(('box', 'share'), [((0, 0, 64, 48), 100.0), ((0, 0, 0, 0), 0.0)])
def test_everything_and_nothing_is_touched(tool, random_model, tmp_path, capsys, box, share):
    config, weights, names = random_model
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps({name: [box] * 12 for name in names}))
    arguments = [config, weights, '--split', 'test', '--boxes', path]
    assert tool.main([str(argument) for argument in arguments]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert row == f'| {weights} | {" | ".join([f"{share:.1f}"] * 4)} |'


@pytest.mark.parametrize('rule', ['first', 'random', 'attention'])
def test_patches_chosen_by_a_rule(tool, project, tmp_path, capsys, rule):
    """The boxes are the first of 9 patches, which is among three at random in a third of frames."""
    neck = dict(type='FixedSelection', rule=rule, topk=3, _delete_=True)
    config = _with_neck(project, tmp_path, neck)
    names = json.loads((project / 'all.json').read_text())
    path = tmp_path / 'boxes.json'
    # of 64 x 48 pixels; the crop begins at 8, and a patch has 16 x 16
    path.write_text(json.dumps({name: [[8, 0, 24, 16]] * 12 for name in names}))
    assert tool.main([*map(str, (*config, '--split', 'test', '--boxes', path))]) == 0
    share, chance, frames, frame_chance = (
        float(cell) for cell in capsys.readouterr().out.splitlines()[-1].split('|')[2:-1]
    )
    assert (chance, frame_chance) == (11.1, 33.3)
    assert frames == pytest.approx(3 * share, abs=0.2)
    if rule == 'first':
        assert frames == 100


@pytest.mark.parametrize(
    ('neck', 'message'),
    [
        (dict(type='PatchMean', _delete_=True), 'PatchMean chooses no patches'),
        (dict(candidates='all'), 'the number of chosen patches differs from frame to frame'),
    ],
)
def test_necks_without_a_choice_of_k_patches(tool, project, tmp_path, capsys, neck, message):
    config, weights = _with_neck(project, tmp_path, neck)
    (tmp_path / 'boxes.json').write_text('{}')
    assert tool.main([str(config), str(weights), '--boxes', str(tmp_path / 'boxes.json')]) == 1
    assert message in capsys.readouterr().err


def test_missing_boxes_are_an_error(tool, random_model, capsys):
    config, weights, _ = random_model
    assert tool.main([str(config), str(weights)]) == 1
    assert 'val_boxes.json does not exist' in capsys.readouterr().err
