"""The hook that encodes a query bank, with the metric that uses it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import HOOKS
from torch import nn

from ts2net_mm.datasets import TokenizeCaptions
from ts2net_mm.evaluation import (
    TextVideoRetrievalMetric,
    dynamic_inverted_softmax,
    query_bank_hook,
    retrieval_metrics,
)

SCALE = 50.0


class TextModel(nn.Module):
    """A sentence is the sum of its tokens' vectors; knows whether it was asked to train."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(49408, 8)
        self.modes = []

    def encode_text(self, text):
        self.modes.append((self.training, torch.is_grad_enabled()))
        return self.embedding(text).sum(dim=1)


@pytest.fixture
def ann_file(tmp_path):
    path = tmp_path / 'train.json'
    words = ['red', 'green', 'blue', 'tall', 'small', 'old', 'new', 'wet', 'dry', 'cold']
    pairs = {
        f'train{index}.mp4': [f'a {one} {two}' for two in words] for index, one in enumerate(words)
    }
    path.write_text(json.dumps(pairs))
    return str(path)


def make_runner(*metrics, pipeline=None, model=None):
    pipeline = [TokenizeCaptions(max_words=8)] if pipeline is None else pipeline
    dataset = SimpleNamespace(pipeline=SimpleNamespace(transforms=pipeline))
    loop = SimpleNamespace(
        evaluator=SimpleNamespace(metrics=list(metrics)),
        dataloader=SimpleNamespace(dataset=SimpleNamespace(dataset=dataset)),
        fp16=False,
    )
    return SimpleNamespace(model=model or TextModel(), test_loop=loop, val_loop=loop)


def fill_banks(runner, way='test'):
    """What the hook does before the first batch is evaluated."""
    hook = HOOKS.build(dict(type='QueryBankHook'))
    getattr(hook, f'before_{way}')(runner)
    for index in range(2):
        getattr(hook, f'before_{way}_iter')(runner, batch_idx=index)
    return hook


def make_metric(ann_file, **options):
    bank = dict(ann_file=ann_file, num_queries=60, seed=3)
    return TextVideoRetrievalMetric(query_bank=bank | options.pop('bank', {}), **options)


def predict(num_videos=12):
    """One frame a video and one caption that resembles it; video 0 attracts all."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for index in range(num_videos):
        frames = torch.randn(1, 8, generator=generator)
        texts = frames + 1.2 * torch.randn(1, 8, generator=generator)
        features = dict(
            frame_features=frames,
            frame_mask=torch.ones(1),
            text_features=texts,
            logit_scale=SCALE,
            similarity=dict(type='MeanPooledSimilarity'),
        )
        samples.append(dict(video_id=f'{index}.mp4', captions=['x'], features=features))
    return samples


def expected_metrics(model, ann_file, **options):
    """Recomputed from sentences and predictions, without hook and metric."""
    annotations = json.loads(Path(ann_file).read_text())
    captions = [caption for captions in annotations.values() for caption in captions]
    drawn = np.random.default_rng(3).choice(len(captions), 60, replace=False)
    tokens = TokenizeCaptions(max_words=8)(dict(text=[captions[i] for i in drawn]))['text']
    videos = torch.cat([one['features']['frame_features'] for one in predict()])
    texts = torch.cat([one['features']['text_features'] for one in predict()])
    bank, texts, videos = (
        F.normalize(one.detach()) for one in (model.embedding(tokens).sum(dim=1), texts, videos)
    )
    normalised = dynamic_inverted_softmax(texts @ videos.T, bank @ videos.T, **options)
    return retrieval_metrics(normalised, np.arange(12))


@pytest.mark.parametrize('way', ['val', 'test'])
@pytest.mark.parametrize('options', [{}, dict(topk=3, inverse_temperature=5.0)])
def test_numbers_of_the_bank(ann_file, way, options):
    metric = make_metric(ann_file, bank=options)
    runner = make_runner(metric)
    fill_banks(runner, way)
    assert set(runner.model.modes) == {(False, False)}
    metric.process(None, predict())
    metrics = metric.evaluate(12)
    expected = expected_metrics(runner.model, ann_file, **options)
    names = ('R1', 'R5', 'R10', 'R50', 'MdR', 'MnR')
    assert {key for key in metrics if '_qb' in key} == {f't2v_qb/{name}' for name in names}
    for name in names:
        assert metrics[f't2v_qb/{name}'] == pytest.approx(expected[f't2v/{name}'])
    assert metrics['t2v_qb/MnR'] != metrics['t2v/MnR']


def test_metric_list_and_prefix(ann_file):
    metric = make_metric(ann_file, metric_list='R1', prefix='p', inverted_softmax=True)
    fill_banks(make_runner(metric))
    metric.process(None, predict())
    assert list(metric.evaluate(12)) == [
        f'p/{row}/R1' for row in ('t2v', 'v2t', 't2v_dsl', 'v2t_dsl', 't2v_qb')
    ]


def test_dump_holds_the_bank(ann_file, tmp_path):
    metric = make_metric(ann_file, dump=str(tmp_path / 'out.npz'))
    fill_banks(make_runner(metric))
    metric.process(None, predict())
    metric.evaluate(12)
    with np.load(tmp_path / 'out.npz', allow_pickle=False) as saved:
        assert saved['bank_similarity'].shape == (60, 12)
        assert 1 < np.abs(saved['bank_similarity']).max() <= SCALE  # logits
        assert saved['bank_captions'].shape == (60,)
        assert saved['bank_captions'][0].startswith('a ')
        assert saved['logit_scale'] == SCALE


@pytest.mark.parametrize('processes', [2, 3, 7])
def test_processes_share_the_work_and_change_nothing(ann_file, monkeypatch, processes):
    monkeypatch.setattr(query_bank_hook, 'TEXTS_AT_A_TIME', 16)
    alone = make_metric(ann_file)
    fill_banks(make_runner(alone))
    parts = []

    def collect(part, size, device):
        parts.append(part)
        if rank != 0:
            return None
        assert size == 4
        ranks = [part, *parts[:-1]]
        return [ranks[index % processes][index // processes] for index in range(size)]

    monkeypatch.setattr(query_bank_hook, 'collect_results', collect)
    monkeypatch.setattr(query_bank_hook, 'get_world_size', lambda: processes)
    for rank in (*range(1, processes), 0):
        monkeypatch.setattr(query_bank_hook, 'get_rank', lambda rank=rank: rank)
        metric = make_metric(ann_file)
        fill_banks(make_runner(metric))
        assert (metric._bank_features is None) == (rank != 0)
        metric.process(None, predict())  # no process misses the hook
    assert sum(map(len, parts)) == 4
    assert torch.equal(metric._bank_features, alone._bank_features)


def test_does_nothing_without_a_bank():
    runner = make_runner(TextVideoRetrievalMetric(), object(), pipeline=[])
    fill_banks(runner)
    fill_banks(runner, 'val')
    assert runner.model.modes == []
    assert runner.model.training


def test_metric_without_hook(ann_file):
    metric = make_metric(ann_file)
    with pytest.raises(ValueError, match=r"needs dict\(type='QueryBankHook'\) in custom_hooks"):
        metric.process(None, predict())


def test_missing_annotation_fails_before_the_test():
    runner = make_runner(make_metric('nowhere.json'))
    with pytest.raises(FileNotFoundError, match='annotation file nowhere.json does not exist'):
        fill_banks(runner)


@pytest.mark.parametrize('pipeline', [[], [str]])
def test_pipeline_without_tokenizer(ann_file, pipeline):
    names = str([type(one).__name__ for one in pipeline]).replace('[', r'\[').replace(']', r'\]')
    with pytest.raises(ValueError, match=f'has no TokenizeCaptions, found {names}'):
        fill_banks(make_runner(make_metric(ann_file), pipeline=pipeline))


def test_weights_that_give_nan(ann_file):
    model = TextModel()
    model.embedding.weight.data.fill_(float('nan'))
    with pytest.raises(ValueError, match="query_bank: 60 of 60 captions .* the first is 'a red"):
        fill_banks(make_runner(make_metric(ann_file), model=model))


@pytest.mark.parametrize('is_shared', [True, False])
def test_warns_of_test_videos_in_the_bank(ann_file, monkeypatch, is_shared):
    from ts2net_mm.evaluation import metric as module

    lines = []
    monkeypatch.setattr(module, 'print_log', lambda message, **_: lines.append(message))
    metric = make_metric(ann_file)
    fill_banks(make_runner(metric))
    samples = predict()
    if is_shared:
        samples[3]['video_id'] = 'train4.mp4'
    metric.process(None, samples)
    metric.evaluate(12)
    warnings = [line for line in lines if 'query_bank: 1 videos of the bank bear names' in line]
    assert len(warnings) == is_shared
    assert not is_shared or "'train4.mp4'" in warnings[0]


@pytest.mark.parametrize('way', ['val', 'test'])
def test_the_weights_are_those_of_the_evaluation(ann_file, way):
    """EMAHook exchanges them before the epoch of the evaluation, after ``before_val``."""
    metric = make_metric(ann_file)
    runner = make_runner(metric)
    hook = HOOKS.build(dict(type='QueryBankHook'))
    getattr(hook, f'before_{way}')(runner)
    with torch.no_grad():
        runner.model.embedding.weight.mul_(-1)
    getattr(hook, f'before_{way}_iter')(runner, batch_idx=0)
    metric.process(None, predict())
    expected = expected_metrics(runner.model, ann_file)
    assert metric.evaluate(12)['t2v_qb/MnR'] == pytest.approx(expected['t2v/MnR'])
