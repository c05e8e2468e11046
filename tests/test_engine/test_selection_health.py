"""What the log says of selections that are hard, random and saturated."""

import math

import pytest
import torch
from mmaction.registry import MODELS
from tiny import model_config

from ts2net_mm.engine import SelectionHealthHook
from ts2net_mm.engine.selection_health import measure_selection


def test_a_hard_selection_has_no_entropy():
    scores = torch.tensor([[0.9, -0.5, -0.6, 0.5, -0.7, -0.8]])
    found = measure_selection(scores, topk=2, sigma=0.01)
    assert found['entropy'] == 0
    assert found['spread'] == pytest.approx(scores.std().item())
    assert found['saturated'] == 0


def test_a_random_selection_of_a_patch_has_entropy_one():
    found = measure_selection(torch.zeros(4, 8), topk=1, sigma=0.05, num_samples=5000)
    assert found['entropy'] == pytest.approx(1, abs=1e-3)
    assert found['spread'] == 0


def test_entropy_is_that_of_the_rows_of_the_indicator():
    """Two patches that are far above the others and equal: each is chosen half of the time."""
    scores = torch.tensor([[0.5, 0.5, -0.5, -0.5]])
    found = measure_selection(scores, topk=1, sigma=0.01, num_samples=5000)
    assert found['entropy'] == pytest.approx(math.log(2) / math.log(4), abs=1e-3)


def test_saturated_scores_are_counted():
    scores = torch.tensor([[1.0, -1.0, 0.995, 0.98]])
    assert measure_selection(scores, topk=1, sigma=0.05)['saturated'] == 0.75


class _Hub:
    def __init__(self):
        self.values = {}

    def update_scalar(self, name, value):
        self.values[name] = value


class _Runner:
    def __init__(self, model):
        self.model, self.iter, self.message_hub = model, 0, _Hub()


@pytest.mark.parametrize(
    'neck', [{}, dict(candidates='all'), dict(context='none', train_mode='straight_through')]
)
def test_the_hook_measures_a_training_and_leaves_it_as_it_is(neck):
    config = model_config()
    config['neck'] |= neck

    all_scores = []

    def losses(hook):
        torch.manual_seed(0)
        model = MODELS.build(config).train()
        model.neck.score_mlp.register_forward_hook(lambda *args: all_scores.append(args[2]))
        runner = _Runner(model)
        if hook:
            hook.before_train(runner)
        inputs = dict(
            imgs=torch.rand(2, 4, 3, 32, 32),
            text=torch.randint(1, 49, (2, 12)),
            frame_mask=torch.ones(2, 4, dtype=torch.bool),
        )
        found = []
        for runner.iter in range(3):
            found.append(sum(model.loss(inputs, None).values()).item())
            if hook:
                hook.after_train_iter(runner, runner.iter)
        return found, runner.message_hub.values

    plain, _ = losses(None)
    all_scores.clear()
    watched, values = losses(SelectionHealthHook(interval=2))
    assert plain == watched
    # of the second of three iterations, without [CLS] unless that is a candidate
    first = 0 if config['neck'].get('candidates') == 'all' else 1
    candidates = all_scores[1][..., first:, 0].flatten(0, -2)
    expected = measure_selection(candidates, topk=config['neck']['topk'], sigma=0.05)
    assert values == {f'train/selection_{name}': value for name, value in expected.items()}
    assert set(values) == {f'train/selection_{n}' for n in ('spread', 'entropy', 'saturated')}
    assert 0 < values['train/selection_entropy'] <= 1
    assert losses(SelectionHealthHook(interval=5))[1] == {}


def test_a_model_without_a_selection_is_an_error():
    config = model_config()
    for neck in ('CLSOnly', 'FixedSelection'):
        config['neck'] = dict(type=neck)
        with pytest.raises(ValueError, match='the model has no TokenSelection'):
            SelectionHealthHook().before_train(_Runner(MODELS.build(config)))
    with pytest.raises(ValueError, match='interval=0 must be at least 1'):
        SelectionHealthHook(interval=0)
