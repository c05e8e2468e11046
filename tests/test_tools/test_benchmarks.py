"""The benchmarks run at tiny sizes, and notice when both sides do not compute the same."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny import model_config

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'tools/benchmarks'


def names(report):
    return [measurement.side.name for measurement in report.measurements]


def test_selection(load):
    selection = load('selection')
    report = selection.run(2, selection.Sizes(frames=4, patches=9, samples=20, topk=2))
    assert names(report) == ['ts2net_mm', 'plain one-hot']
    assert [len(one.seconds) for one in report.measurements] == [2, 2]
    ours, plain = (one.side.saved for one in report.measurements)
    assert ours == 4 * 2 * 9 * 4
    assert plain == (4 * 20 * 2 * 9 + 4 * 20 * 9) * 4  # one-hots and noise, 4 bytes each
    assert 'saved for backward' in str(report)


def test_selection_notices_a_wrong_gradient(load, monkeypatch):
    selection = load('selection')
    monkeypatch.setattr(
        selection, 'perturbed_topk', lambda *args: 2 * selection.plain_topk(*args) - 0.5
    )
    with pytest.raises(AssertionError, match='not close'):
        selection.run(1, selection.Sizes(frames=2, patches=9, samples=20))


@pytest.fixture
def tiny_pairs(load):
    similarity = load('similarity')
    sizes = similarity.Sizes(
        texts=6,
        videos=5,
        frames=3,
        dims=16,
        layers=2,
        heads=2,
        batch=2,
        pair_block=3,
        alone_block=4,
    )
    return similarity, sizes


def test_similarity(tiny_pairs):
    similarity, sizes = tiny_pairs
    report = similarity.run(1, sizes)
    assert names(report) == ['ts2net_mm', 'pair loop', 'loop of 2 x 2']
    assert [one.side.scale for one in report.measurements] == [1, 30 / 9, 30 / 4]
    shapes = [one.side.run().shape for one in report.measurements]
    assert shapes == [(6, 5), (3, 3), (2, 2)]
    assert 'pair loop: time of its block x 3, memory of the block' in str(report)


@pytest.mark.parametrize('benchmark', ['run', 'run_alone'])
def test_similarity_notices_a_wrong_score(tiny_pairs, monkeypatch, benchmark):
    similarity, sizes = tiny_pairs
    monkeypatch.setattr(similarity, 'TEMPERATURE', 4.0)
    right = similarity.block_scores
    monkeypatch.setattr(similarity, 'block_scores', lambda *block: right(*block) + 1e-3)
    with pytest.raises(AssertionError, match='not close'):
        getattr(similarity, benchmark)(1, sizes)


def test_train_step(load, tiny_model):
    train_step = load('train_step')
    report = train_step.run(1, train_step.Sizes(videos=2, frames=3, words=6), tiny_model)
    assert names(report) == ['ts2net_mm', 'nn.MultiheadAttention']
    for measurement in report.measurements:
        assert set(measurement.side.run()) >= {'loss', 'loss_t2v', 'loss_v2t'}


def test_cached_batch(load, tiny_model):
    cached_batch = load('cached_batch')
    sizes = load('train_step').Sizes(videos=6, frames=3, words=6)
    report = cached_batch.run(1, sizes, 2, tiny_model)
    assert names(report) == ['cached batch', 'plain steps of 2 videos']
    assert [one.side.scale for one in report.measurements] == [1, 3]
    assert '4 videos, 2 at a time: loss ' in str(report)


def test_memory_of_a_video_grows_with_its_frames(load):
    cached_batch = load('cached_batch')
    model = cached_batch.build_model(model_config())
    sizes = [cached_batch.bytes_per_video(model, frames, None, 6) for frames in (2, 4, 6)]
    assert 0 < sizes[1] - sizes[0] == sizes[2] - sizes[1] < sizes[0]


def test_multihead_attention_has_the_same_loss_and_gradients(load, tiny_model):
    train_step, sequence_first = load('train_step'), load('sequence_first')
    train_step.init_default_scope('mmaction')
    torch.manual_seed(0)
    model = train_step.MODELS.build(tiny_model)
    model.init_weights()
    other = sequence_first.to_multihead_attention(model.train())
    data = train_step.draw_batch(model, train_step.Sizes(videos=2, frames=3, words=6))
    data['inputs']['frame_mask'][1][2:] = False
    attentions = [one for one in other.modules() if isinstance(one, torch.nn.MultiheadAttention)]
    assert len(attentions) == 3 + 2 + 2
    assert not any(isinstance(one, type(model.text_encoder.layers[0])) for one in other.modules())
    for one in (model, other):
        torch.manual_seed(1)
        sum(one.loss(one.data_preprocessor(data)['inputs']).values()).backward()
    pairs = [
        (model.neck.token_mlp[1].weight, other.neck.token_mlp[1].weight),
        (model.backbone.layers[0].attn.qkv.bias, other.backbone.blocks[0].attn.in_proj_bias),
        (model.text_encoder.layers[0].ln1.weight, other.text_encoder.layers.blocks[0].ln1.weight),
        (model.head.temporal.pos_embed, other.head.temporal.pos_embed),
    ]
    for ours, theirs in pairs:
        assert ours is not theirs
        assert ours.grad.abs().max() > 0
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_train_step_notices_other_weights(load, tiny_model):
    train_step = load('train_step')
    train_step.init_default_scope('mmaction')
    model, other = (train_step.MODELS.build(tiny_model) for _ in range(2))
    for one in (model, other):
        one.init_weights()
    data = train_step.draw_batch(model, train_step.Sizes(videos=2, frames=3, words=6))
    with pytest.raises(AssertionError, match='not close'):
        train_step.compare(model, other, data)


@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='needs /proc')
def test_peak_memory_counts_what_was_freed_again(load):
    measuring = load('measuring')
    mebibyte = 2**20

    def hold(size):
        block = mmap.mmap(-1, size)  # from the kernel: malloc may find room in what it kept before
        np.frombuffer(block, dtype=np.uint8)[:] = 1
        return block

    def hold_64_then_32():
        hold(64 * mebibyte)
        return hold(32 * mebibyte)

    for _ in range(2):  # memory of an earlier run must not hide that of a later one
        result, memory = measuring.watch(hold_64_then_32)
        assert len(result) == 32 * mebibyte
        assert 60 * mebibyte < memory.growth < 80 * mebibyte
        del result


def test_report_gives_medians_and_ratios(load):
    measuring, report = load('measuring'), load('report')
    ours, plain, block = (
        measuring.Measurement(measuring.Side(name, int, scale, saved), *measured)
        for name, scale, saved, *measured in (
            ('ours', 1, 2**20, 2**20, [0.1, 0.3, 0.2], [0.1]),
            ('plain', 1, 2**22, 2**31, [0.5, 0.4, 9.0], [0.4]),
            ('loop', 50, None, 2**20, [400.0], [400.0]),
        )
    )
    lines = [
        line.split()
        for line in str(report.Report('title', ['note'], [ours, plain, block])).splitlines()
    ]
    assert lines[:2] == [['title'], ['note']]
    assert lines[4] == ['ours', '200.0', 'ms', '100.0', 'ms', '1.00', 'MiB', '1.00', 'MiB']
    assert lines[5] == ['plain', '500.0', 'ms', '400.0', 'ms', '2.00', 'GiB', '4.00', 'MiB']
    assert lines[6] == ['loop', '400', 's', '400', 's', '1.00', 'MiB']
    assert lines[7] == ['plain', '/', 'ours', '2.50', '4.00', '2,048.00', '4.00']
    assert lines[8] == ['loop', '/', 'ours', '2,000.00', '4,000.00']


@pytest.mark.slow
def test_command_line():
    paths = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
    result = subprocess.run(
        [sys.executable, str(FOLDER / 'core.py'), 'selection', '--repeats', '1', '--threads', '1'],
        env=os.environ | {'PYTHONPATH': os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert 'threads: 1, ' in result.stdout
    assert 'plain one-hot / ts2net_mm' in result.stdout


def test_multiply_adds_of_a_text(load, tiny_model):
    """Two blocks of width 32 on seven words, and the projection of one of them."""
    found = load('complexity').complexity(Config(dict(model=tiny_model)), frames=4, words=7)
    assert set(found) == {'backbone', 'neck', 'head', 'text_encoder'}
    weights, operations = found['text_encoder']
    assert weights == 50 * 32 + 12 * 32 + 2 * (12 * 32**2 + 13 * 32) + 2 * 32 + 32 * 16
    assert operations == 2 * (7 * 12 * 32**2 + 2 * 7**2 * 32) + 32 * 16


@pytest.mark.parametrize(
    ('fp16_arithmetic', 'title'), [(False, 'fp32'), (True, "CLIP's matrices in fp16")]
)
def test_optimizer(load, tiny_model, fp16_arithmetic, title):
    optimizer = load('optimizer')
    report = optimizer.run(2, fp16_arithmetic=fp16_arithmetic, model_cfg=tiny_model)
    assert [one.side.name for one in report.measurements] == ['ts2net_mm', 'loop over tensors']
    assert report.title.startswith(f'optimiser step, {title}: 99 tensors of together ')
    assert report.notes == ['after 4 steps the weights differ by at most 0.0e+00']


def test_optimizer_notices_a_wrong_step(load, tiny_model, monkeypatch):
    optimizer = load('optimizer')
    monkeypatch.setattr(
        optimizer.LoopBertAdam, '_step_alone', lambda self, weight, group: weight.mul_(1 + 1e-6)
    )
    with pytest.raises(AssertionError, match='not equal'):
        optimizer.run(1, fp16_arithmetic=True, model_cfg=tiny_model)


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
