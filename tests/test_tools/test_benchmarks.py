"""The benchmarks run at tiny sizes."""

import copy
import json
import re
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tiny import model_config, shrinking_options

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


def test_train_step(load, tiny_model):
    train_step = load('train_step')
    report = train_step.run(1, train_step.Sizes(videos=2, frames=3, words=6), tiny_model)
    assert names(report) == ['ts2net_mm', 'nn.MultiheadAttention']
    for measurement in report.measurements:
        assert set(measurement.side.run()) >= {'loss', 'loss_t2v', 'loss_v2t'}


def test_released_shape_has_the_same_loss_and_gradients(load, tiny_model):
    released, train_step = load('as_released'), load('train_step')
    model = released.build_model(tiny_model)
    other = released.to_released_shape(model)
    data = train_step.draw_batch(model, train_step.Sizes(videos=2, frames=3, words=6))
    data['inputs']['frame_mask'][1][2:] = False
    assert not any(isinstance(one, type(model.text_encoder.layers[0])) for one in other.modules())
    for one in (model, other):
        torch.manual_seed(1)
        sum(one.loss(one.data_preprocessor(data)['inputs']).values()).backward()
    block = model.backbone.layers[0]
    pairs = [
        (model.neck.token_mlp[1].weight, other.neck.token_mlp[1].weight),
        (block.ffn.layers[0][0].weight, other.backbone.blocks[0].ffn.first.weight),
        (block.ln2.weight, other.backbone.blocks[0].ln2.weight),
    ]
    for ours, theirs in pairs:
        assert ours is not theirs
        assert ours.grad.abs().max() > 0
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_released_step(load, tiny_model):
    released, sizes = load('as_released'), load('train_step').Sizes(videos=2, frames=3, words=6)
    jobs = [
        released.our_step('ts2net_msrvtt.py', sizes, tiny_model),
        released.released_step(sizes, tiny_model),
    ]
    before = [job.output() for job in jobs]
    assert before[0] == pytest.approx(before[1], rel=1e-5)
    for job in jobs:
        torch.manual_seed(2)  # of the selection noise
        job.run()
    after = [job.output() for job in jobs]
    assert after[0] == pytest.approx(after[1], rel=1e-5)
    assert after[0] != pytest.approx(before[0], rel=1e-4)


def test_step_profile(load, tiny_model):
    sizes = load('train_step').Sizes(videos=2, frames=3, words=6)
    table = load('step_profile').run(sizes, tiny_model)
    products, *others, everything = (
        [float(cell.rstrip('%')) for cell in row[1:]] for row in table.rows
    )
    shares = [sum(column) for column in zip(products, *others, strict=True)]
    assert shares[1::2] == pytest.approx([100, 100], abs=1)
    assert everything[1::2] == [100, 100]
    assert products[1] > 0 and products[3] > 0
    assert f'ts2net_mm: {products[1]}% in products' in table.notes


def test_precision(load, tiny_model):
    precision, sizes = load('precision'), load('train_step').Sizes(videos=4, frames=3, words=6)
    for run in (precision.run_encoding, precision.run_training):
        assert names(run(1, sizes, tiny_model)) == ['bf16', 'fp32']
    report = precision.run_products(1, rows=6, width=4)
    assert names(report) == ['fp32 in the blocks', 'fp32, torch.mm', 'bf16, torch.mm']
    table = precision.run_compiled(sizes, tiny_model, backend='eager')
    assert table.columns[1:] == [f'{i}, {n} videos' for n in (4, 1) for i in ('first', 'next')]
    plain, compiled = ([float(cell) for cell in row[1:]] for row in table.rows)
    assert compiled[0] > plain[0]  # it is traced


@pytest.mark.slow
def test_sides_in_processes_of_their_own(load, tiny_model):
    released, sizes = load('as_released'), load('train_step').Sizes(videos=2, frames=3, words=6)
    report = released.run(1, sizes, tiny_model)
    assert names(report) == [*released.OURS, 'shaped as released']
    # the libraries alone are larger than this
    assert all(one.process_peak > 10 * max(one.peak, 2**20) for one in report.measurements)


@pytest.mark.slow
def test_a_side_that_fails_is_named(load):
    processes = load('processes')
    side = processes.LazySide('the odd one', partial(int, 'x'))
    with pytest.raises(RuntimeError, match="the odd one failed:\n(.|\n)*invalid literal.*'x'"):
        processes.measure_apart([side], 1)


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


@pytest.fixture
def command(load, monkeypatch):
    """The command line, with a selection of a few patches."""
    run, selection = load('run'), load('selection')
    tiny = selection.Sizes(frames=4, patches=9, samples=20, topk=2)
    small = run.Benchmark('few patches', 'selection', arguments=dict(sizes=tiny))
    monkeypatch.setitem(run.BENCHMARKS, 'selection', small)
    return run


def test_command_line(command, tmp_path, capsys):
    file = tmp_path / 'found.json'
    command.main(['selection', '--repeats', '2', '--json', str(file)])
    assert 'plain one-hot / ts2net_mm' in capsys.readouterr().out
    found = json.loads(file.read_text())
    assert found['machine']['torch'] == torch.__version__
    (table,) = found['benchmarks']['selection']['tables']
    ours, plain = table['rows']
    assert len(ours['seconds']) == len(plain['cpu_seconds']) == 2
    assert plain['saved_bytes'] > ours['saved_bytes'] == 4 * 2 * 9 * 4
    with pytest.raises(SystemExit):
        command.main(['nothing'])
    assert 'no benchmark is named nothing, choose from ' in capsys.readouterr().err


def test_tables_of_the_pages_are_replaced(command, tmp_path, monkeypatch):
    page = tmp_path / 'page.md'
    blocks = [f'<!-- run.py {name} -->\nold {name}\n<!-- end -->' for name in ('selection', 'x')]
    page.write_text('\n\n'.join(['before', *blocks, 'after']))
    monkeypatch.setattr(command, 'PAGES', (page,))
    command.main(['selection', '--repeats', '1', '--pages'])
    text = page.read_text()
    assert text.startswith('before\n\n<!-- run.py selection -->\n\n**selection: top 2')
    assert text.endswith(f'<!-- end -->\n\n{blocks[1]}\n\nafter')
    assert '| plain one-hot / ts2net_mm | ' in text and 'old selection' not in text


def test_blocks_of_the_pages_are_those_of_benchmarks(load):
    run = load('run')
    for page in run.PAGES:
        names = re.findall(r'<!-- run\.py (\S+) -->', page.read_text())
        assert names and set(names) <= set(run.PAGE_BENCHMARKS)
    for one in run.BENCHMARKS.values():
        if isinstance(one, run.Script):
            assert (FOLDER / one.command[0]).is_file()
        else:
            assert callable(getattr(load(one.module), one.function))


def test_a_script_runs_by_its_name(command, monkeypatch, capsys):
    script = command.Script('cut', ['structure.py', 'tests/test_tools', '--package', '.'])
    monkeypatch.setitem(command.BENCHMARKS, 'cut', script)
    command.main(['cut', '--markdown'])
    assert re.search(r'```text\n== test_tools\n(.*\n)+```', capsys.readouterr().out)


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


@pytest.mark.parametrize('queries', [0, 30])
def test_many_captions_a_video(load, monkeypatch, queries):
    benchmark = load('multi_caption_evaluation')
    monkeypatch.setattr(benchmark, 'MAX_RATIO', 0 if queries else 1e9)
    monkeypatch.setattr(benchmark, 'PRODUCT_ELEMENTS', 7 * 27)
    sizes = benchmark.Sizes(videos=9, texts=40, frames=3, dims=8, queries=queries)
    report = benchmark.run(2, sizes)
    assert names(report) == ['inverted softmax', 'plain', 'matrix products']
    assert all(len(one.seconds) == 2 for one in report.measurements)
    metrics = report.measurements[0].side.run()
    assert ('t2v_qb/R1' in metrics) == bool(queries)
    assert report.notes[-1] == ('NOT within the limits' if queries else 'within the limits')


def test_data_preparation(load, tmp_path):
    benchmark = load('data_preparation')
    sizes = benchmark.Sizes(msrvtt_train=5, msrvtt_test=4, msrvtt_1ka=1, msrvtt_captions=3)
    lines = benchmark.run('msrvtt', tmp_path, sizes)
    assert re.match(r'  start of train\w*\.json, 24 items: [\d.]+ s', lines[2])


@pytest.mark.slow
def test_frame_store(load, tmp_path, monkeypatch):
    benchmark = load('frame_store')
    monkeypatch.setattr(benchmark, 'CLIP_SECONDS', 2)
    monkeypatch.setattr(benchmark, 'QUALITIES', (20, 95))
    work = benchmark.clips(tmp_path, 2)
    report = str(benchmark.reading(work, 'clips', ('jpeg', 'png'), 1))
    assert 'png: pixels of 2 items are those of decoding' in report
    work.cfg.merge_from_dict(shrinking_options(work.cfg.model))
    torch.manual_seed(0)
    _, _, *rows = benchmark.features(work, None)
    moved = [float(row.split()[5].strip('%')) for row in rows]
    assert moved[0] > moved[1] > 0


@pytest.mark.slow
def test_pipeline(load, tmp_path, tiny_model, monkeypatch):
    pipeline = load('pipeline')
    monkeypatch.setattr(load('frame_store'), 'CLIP_SECONDS', 2)
    tiny_model['backbone'] |= dict(img_size=224, patch_size=56)
    tiny_model['text_encoder'] |= dict(vocab_size=49408, context_length=32)
    tiny_model['head']['temporal']['num_positions'] = 77
    sizes = pipeline.Sizes(
        clips=((64, 48),), number=2, batch=2, seconds=0.2, workers=(0, 2), training_steps=1
    )
    stages, loaders, waiting, demand = pipeline.run(1, sizes, tiny_model)
    assert stages.columns == ['', 'files, 64 x 48', 'store, 64 x 48']
    *parts, total, speed = (row[1] for row in stages.rows)
    assert sum(parts) == pytest.approx(total) and speed == pytest.approx(1e3 / total)
    assert [row[0] for row in loaders.rows] == [*stages.columns[1:], 'store / files, 64 x 48']
    assert [row[0] for row in waiting.rows] == stages.columns[1:]
    flops = 6 * (53.137 + 0.158 + 0.613 + 1.221)  # G, as docs/performance.md has them
    for name, speed, workers, _ in demand.rows:
        assert name in stages.columns
        assert (workers - 1) * speed < 0.4 * 800e3 / flops <= 1.001 * workers * speed


def test_speed_of_a_loader_is_that_of_whole_turns_of_its_workers(load, monkeypatch):
    """Two workers deliver at 1, 1, 3, 3, 5, 5, ... seconds: a batch a second."""
    pipeline = load('pipeline')
    clock = iter([0, 1, 1, 3, 5, 7, 9])  # read at the start, the first batch and each second one
    monkeypatch.setattr(pipeline.time, 'perf_counter', lambda: next(clock))

    class Loader(list):
        num_workers = 2

    assert pipeline.time_batches(Loader(range(100)), seconds=5) == (1, 1.0)


@pytest.mark.slow
def test_script_for_a_gpu(load, tmp_path, capsys):
    gpu, file = load('gpu'), tmp_path / 'gpu.json'
    assert gpu.main(['--device', 'cpu', '--small', '--out', str(file)]) == 0
    found = json.loads(file.read_text())['benchmarks']
    assert list(found) == list(gpu.SECTIONS)
    tables = {name: one['tables'][0] for name, one in found.items()}
    steps = {tuple(row[:2]) for row in tables['training']['rows']}
    assert steps == {(f'ViT-B/{size}', kind) for size in (16, 32) for kind in ('fp32', 'bf16')}
    assert [row[:3] for row in tables['processes']['rows']] == [[1, 'gloo', 0], [2, 'gloo', 0]]
    (bf16,) = (row for row in tables['mixed-precision']['rows'] if row[0] == 'bf16')
    assert 0 < float(bf16[-1]) < 0.1
    assert tables['tests']['rows'][0][1] == 0


def test_a_section_that_fails_is_reported(load, monkeypatch, capsys):
    gpu = load('gpu')
    monkeypatch.setattr(load('lab'), 'CONFIGS', {})
    assert gpu.main(['--device', 'cpu', '--small', 'compiled', 'matrices']) == 1
    printed = capsys.readouterr().out
    assert "| compiled | KeyError: 'ViT-B/32' |" in printed and '| bf16 | ' in printed


@pytest.mark.slow
def test_scaling(load, tiny_model, monkeypatch):
    scaling, pipeline = load('scaling'), load('pipeline')
    monkeypatch.setattr(load('frame_store'), 'CLIP_SECONDS', 2)
    finer = copy.deepcopy(tiny_model)
    finer['backbone']['patch_size'] = 4
    clips = pipeline.Sizes(clips=((64, 48),), number=2, batch=2, seconds=0.2, workers=(0, 1))
    sizes = scaling.Sizes(
        batches=(1, 2),
        frames=(3, 6),
        frames_otherwise=3,
        words=6,
        texts=(10, 20),
        videos=(10, 20),
        clips=clips,
    )
    training, similarity, _ = scaling.run(1, sizes, [tiny_model, finer])
    sizes = {
        name: [row[1] for row in training.rows if row[0] == name] for name, *_ in training.rows
    }
    assert sizes == {
        'patches of a frame': [16, 64],
        'videos of a batch': [1, 2],
        'frames of a video': [3, 6],
    }
    *_, one_video, two_videos, _, _ = training.rows
    assert one_video[-1] == '1.00' and float(two_videos[-1]) == pytest.approx(2, rel=0.05)
    assert [row[0] for row in similarity.rows] == ['texts', 'texts', 'videos', 'videos']


def test_power_of_growth(load):
    scaling = load('scaling')
    points = [scaling.Point(size, seconds=3 * size**2, memory=None) for size in (2, 5, 7)]
    assert scaling.exponent(points) == pytest.approx(2)
