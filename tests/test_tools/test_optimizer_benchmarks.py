"""The benchmarks of the optimiser run at tiny sizes, and notice when two sides differ."""

import pytest
import torch


@pytest.mark.parametrize(
    ('fp16_arithmetic', 'title'), [(False, 'fp32'), (True, "CLIP's matrices in fp16")]
)
def test_optimizer(load, tiny_model, fp16_arithmetic, title):
    optimizer = load('optimizer')
    report = optimizer.run(2, fp16_arithmetic=fp16_arithmetic, model_cfg=tiny_model)
    assert [one.side.name for one in report.measurements] == ['ts2net_mm', 'loop over tensors']
    assert report.title.startswith(f'optimiser step, {title}: 99 tensors of together ')
    assert report.notes == ['after 4 steps the weights differ by at most 0.0e+00']


def test_optimizer_takes_the_groups_of_the_recipe(load, tiny_model):
    optimizer = load('optimizer')
    groups = optimizer.recipe_groups(True, tiny_model)
    assert {(f'{group["lr"]:g}', group['fp16_arithmetic']) for group in groups} == {
        ('1e-07', True),
        ('1e-07', False),
        ('0.0001', False),
    }
    first, second = (optimizer.draw(groups, 'cpu')[0]['params'][0] for _ in range(2))
    assert first is not second
    assert torch.equal(first, second) and torch.equal(first.grad, second.grad)


def test_optimizer_notices_a_wrong_step(load, tiny_model, monkeypatch):
    optimizer = load('optimizer')
    monkeypatch.setattr(
        optimizer.LoopBertAdam, '_step_alone', lambda self, weight, group: weight.mul_(1 + 1e-6)
    )
    with pytest.raises(AssertionError, match='not equal'):
        optimizer.run(1, fp16_arithmetic=True, model_cfg=tiny_model)


def test_optimizer_without_a_gpu(load, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit):
        load('optimizer').main(['--device', 'cuda'])
    assert '--device cuda: torch sees no GPU' in capsys.readouterr().err


@pytest.mark.parametrize('module', ['optimizer', 'fp16_arithmetic'])
def test_wrong_arguments_of_a_script(load, capsys, module):
    with pytest.raises(SystemExit):
        load(module).main(['--threads', '0'])
    assert 'argument --threads: 0 is not a positive whole number' in capsys.readouterr().err


@pytest.fixture
def effect(load):
    """The module, with sizes for seconds and the configs it reads."""
    module = load('fp16_arithmetic')
    module.init_default_scope('mmaction')
    small, recipe = (
        module.Config.fromfile(module.CONFIGS / f'ts2net_{name}.py')
        for name in ('moving-shapes', 'msrvtt')
    )
    sizes = module.Sizes(matrix=32, matrix_steps=40, videos=8, batch=4, steps=3)
    return module, sizes, small, recipe


def test_fp16_moves_matrices_by_the_size_of_their_gradients(effect):
    module, sizes, *_ = effect

    def ratio(rms):
        moved = [
            module.movement_of_a_matrix(sizes, rms=rms, std=0.02, fp16=fp16)
            for fp16 in (True, False)
        ]
        return moved[0] / moved[1]

    assert ratio(1e-6) < 0.1
    assert ratio(3e-4) > 10 * ratio(3e-5) > 10


def test_fp16_moves_nothing_but_the_matrices_otherwise(effect):
    module, sizes, small, recipe = effect
    batches = module.render_batches(small, sizes)
    assert len(batches) == 3
    assert batches[0]['inputs']['imgs'][0].shape == (6, 3, 48, 48)
    fp32, fp16 = (
        module.train(module.build_model(small), recipe, batches, fp16=fp16)
        for fp16 in (False, True)
    )
    assert fp32.losses[0] == fp16.losses[0]
    assert len(fp32.losses) == len(fp16.losses) == 3
    assert fp16.moved[0] > 3 * fp32.moved[0] > 0
    assert fp16.moved[1:] == pytest.approx(fp32.moved[1:], rel=0.1)
    assert fp16.gradient_rms == pytest.approx(fp32.gradient_rms, rel=0.1)


def test_fp16_sorts_every_trained_weight(effect):
    module, _, small, recipe = effect
    model = module.build_model(small)
    matrices, others, new = module.sort_weights(model, recipe)
    found = [id(weight) for part in (matrices, others, new) for weight in part]
    trained = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    assert sorted(found) == sorted(trained)
    assert 'head.logit_scale' in {trained[id(weight)] for weight in others}
    assert all(trained[id(weight)].startswith(('neck.', 'head.temporal.')) for weight in new)
    assert 0 < module.full_size_clip(small, recipe) < 0.1


def test_fp16_tables(effect, monkeypatch, capsys):
    module, sizes, *_ = effect
    monkeypatch.setattr(module, 'GRADIENT_RMS', (1e-4,))
    module.run(sizes)
    alone, clipped, scaled = capsys.readouterr().out.split('\n\n')[1::2]
    header, row = alone.splitlines()
    assert header.count('fp32') == 3
    assert row.split()[0] == '1e-04' and len(row.split()) == 10
    for table in (clipped, scaled):
        assert table.splitlines()[1].split()[:4] == ['movement', 'of', "CLIP's", 'matrices']
        assert len(table.splitlines()) == 7
