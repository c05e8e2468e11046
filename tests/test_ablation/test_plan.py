"""What a plan says, and the runs that result."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from ts2net_mm.ablation import read_plan, runs_of


def test_every_variant_has_every_seed(runs):
    names = [(run.seed, run.variant) for run in runs]
    assert names == [(s, v) for s in (0, 1, 2) for v in ('ts2net', 'no-shift', 'shuffled')]
    assert len({run.digest for run in runs}) == len({run.folder for run in runs}) == 9
    assert [str(run.source) for run in runs if run.source] == [
        f'ts2net, seed {s}' for s in range(3)
    ]


def test_options_reach_what_is_derived_from_them(runs):
    base, no_shift, shuffled = runs[:3]
    assert base.cfg.sampling.clip_len == 6
    assert shuffled.cfg.sampling.clip_len == 3
    assert list(no_shift.cfg.model.backbone.shift_layers) == []
    assert all(run.cfg.default_hooks.logger.log_metric_by_epoch is False for run in runs)
    assert all('work_dir' not in run.cfg for run in runs)


def test_options_of_the_plan_and_of_a_variant(write_plan, tmp_path):
    text = """
options: {train_cfg.max_epochs: 7, num_frames: 4}
variants:
  - {name: a, config: config.py}
  - {name: b, config: config.py, options: {num_frames: 5}}
"""
    first, second = (
        run.cfg for run in runs_of(read_plan(write_plan(text)), tmp_path) if run.seed == 0
    )
    assert (first.train_cfg.max_epochs, second.train_cfg.max_epochs) == (7, 7)
    assert (first.sampling.clip_len, second.sampling.clip_len) == (4, 5)


def test_the_written_config_is_the_merged_one(runs, tmp_path):
    path = tmp_path / 'again.py'
    path.write_text(runs[1].cfg.pretty_text)
    assert Config.fromfile(path).to_dict() == runs[1].cfg.to_dict()


def test_a_digest_changes_with_config_seed_checkpoint_and_source(plan, runs, write_plan, tmp_path):
    def digests(text=None, config=None):
        arguments = [text or plan.path.read_text(), *([config] if config else [])]
        return [run.digest for run in runs_of(read_plan(write_plan(*arguments)), tmp_path)]

    before = [run.digest for run in runs]
    text = plan.path.read_text()
    config = (tmp_path / 'config.py').read_text()
    assert digests() == before
    assert digests(text.replace('A comparison', 'Renamed')) == before
    assert not set(digests(config=config.replace('max_epochs=2', 'max_epochs=3'))) & set(before)
    best = config.replace('save_best=None', "save_best='t2v/R1'")
    last = digests(config=best)
    assert not set(digests(text + 'checkpoint: best\n', best)) & set(last)
    changed = digests(text.replace('shift_layers: []', 'shift_layers: [1]'))
    assert [a == b for a, b in zip(changed, before, strict=True)] == [True, False, True] * 3
    base = text.replace('name: ts2net\n', 'name: ts2net\n    options: {train_cfg.max_epochs: 3}\n')
    changed = digests(base)  # also of the variant that tests the weights of the base
    assert [a == b for a, b in zip(changed, before, strict=True)] == [False, True, False] * 3


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('seeds: [0, 1, 2]', 'seeds: [0, 0]', r'plan\.yml: seeds are \[0, 0\], expected different'),
        ('seeds: [0, 1, 2]', 'seeds: [a]', r"seeds are \['a'\], expected whole numbers"),
        ('seeds: [0, 1, 2]', 'seeds: 3', r'seeds is 3, expected list'),
        ('seeds:', 'seed:', r"unknown key 'seed', expected title, config"),
        ('name: no-shift', 'name: ts2net', r'variants are .* expected different'),
        ('name: no-shift', 'name: no/shift', r"variant 2: name 'no/shift' may have letters"),
        ('name: no-shift', 'nam: x', r"variant 2: unknown key 'nam'"),
        (
            'weights_of: ts2net',
            'weights_of: ts',
            r"has the weights of 'ts', expected one of ts2net",
        ),
        ('title:', 'checkpoint: newest\ntitle:', r"checkpoint is 'newest', expected one of"),
        ('config: config.py', '', r'variant 1 \(ts2net\) has no config, nor has the plan'),
        ('title: A', 'title: {A', r'plan\.yml: not YAML: '),
    ],
)
def test_wrong_plans_are_errors(plan, old, new, message):
    plan.path.write_text(plan.path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        read_plan(plan.path)


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        (
            'config: config.py',
            'config: other.py',
            r'variant ts2net: config .*other\.py does not ex',
        ),
        (
            'num_frames: 3',
            'num_frame: 3',
            r"variant shuffled: .* has no 'num_frame', did you mean 'num_frames'",
        ),
        ('title:', 'checkpoint: best\ntitle:', r'checkpoint is best, but its default_hooks\.check'),
    ],
)
def test_configs_that_do_not_fit_are_errors_before_any_run(plan, tmp_path, old, new, message):
    plan.path.write_text(plan.path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        runs_of(read_plan(plan.path), tmp_path)


PLANS = sorted((Path(__file__).parents[2] / 'configs/ablations/plans').glob('*.yml'))


@pytest.mark.parametrize('path', PLANS, ids=lambda path: path.stem)
def test_committed_plans_are_of_models_that_build(path, tmp_path):
    plan = read_plan(path)
    assert plan.hours
    for run in runs_of(plan, tmp_path)[: len(plan.variants)]:
        with torch.device('meta'):
            MODELS.build(run.cfg.model)


def test_there_are_plans():
    assert PLANS
