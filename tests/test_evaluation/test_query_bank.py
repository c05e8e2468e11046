"""The captions of a query bank, the hook that encodes them, and the metric that uses them."""

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
    sinkhorn_bank_scores,
)
from ts2net_mm.evaluation.query_bank import QueryBank, QueryBankOptions

SCALE = 50.0
WORDS = ['red', 'green', 'blue', 'tall', 'small', 'old', 'new', 'wet', 'dry', 'cold']


@pytest.fixture
def ann_file(tmp_path):
    pairs = {
        f'train{index}.mp4': [f'a {first} {second}' for second in WORDS]
        for index, first in enumerate(WORDS)
    }
    pairs['кошка.mp4'] = dict(captions=['кошка спит'], start=1, end=2)
    path = tmp_path / 'train.json'
    path.write_text(json.dumps(pairs))
    return str(path)


def draw(ann_file, **settings):
    options = QueryBankOptions.from_config(dict(ann_file=ann_file, **settings))
    return QueryBank.from_annotations(options)


@pytest.mark.parametrize('num_queries', [None, 101, 5000])
def test_all_captions_in_their_order(ann_file, num_queries):
    bank = draw(ann_file, num_queries=num_queries)
    assert len(bank.captions) == 101
    assert bank.captions[:10] == [f'a red {word}' for word in WORDS]
    assert bank.video_ids[:11] == ['train0.mp4'] * 10 + ['train1.mp4']
    assert (bank.captions[-1], bank.video_ids[-1]) == ('кошка спит', 'кошка.mp4')


def test_a_seed_draws_the_same_captions_again(ann_file):
    first, again, other = (draw(ann_file, num_queries=30, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(set(first.captions)) == 30
    everything = draw(ann_file, num_queries=None)
    pairs = set(zip(everything.captions, everything.video_ids, strict=True))
    assert pairs.issuperset(zip(first.captions, first.video_ids, strict=True))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ('train.json', "query_bank='train.json' must be a dict with 'ann_file'"),
        ({}, r"query_bank=\{\} must be a dict with 'ann_file'"),
        (dict(ann_file='a', size=3), r"unknown settings \['size'\], it takes \['ann_file', 'num_"),
        (dict(ann_file=''), "ann_file='' must be a path"),
        (dict(ann_file='a', num_queries=0), 'query_bank: num_queries=0 must be a whole number of'),
        (dict(ann_file='a', num_queries=1e4), 'num_queries=10000.0 must be a whole number'),
        (dict(ann_file='a', seed=None), 'seed=None must be a whole number of at least 0'),
        (dict(ann_file='a', topk=0), 'query_bank: topk=0 must be'),
        (dict(ann_file='a', inverse_temperature=-1), 'query_bank: inverse_temperature=-1 must'),
    ],
)
def test_invalid_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        TextVideoRetrievalMetric(query_bank=settings)


class TextModel(nn.Module):
    """A sentence is the sum of its tokens' vectors; records in which mode it was called."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(49408, 8)
        self.modes = []

    def encode_text(self, text):
        self.modes.append((self.training, torch.is_grad_enabled()))
        return self.embedding(text).sum(dim=1)


def make_runner(*metrics, pipeline=None, model=None):
    pipeline = [TokenizeCaptions(max_words=8)] if pipeline is None else pipeline
    dataset = SimpleNamespace(pipeline=SimpleNamespace(transforms=pipeline))
    loop = SimpleNamespace(
        evaluator=SimpleNamespace(metrics=list(metrics)),
        dataloader=SimpleNamespace(dataset=SimpleNamespace(dataset=dataset)),
        fp16=False,
    )
    return SimpleNamespace(model=model or TextModel(), test_loop=loop, val_loop=loop)


def fill_banks(runner, way='test', change_weights=lambda: None):
    """What the hook does before the first batch is evaluated."""
    hook = HOOKS.build(dict(type='QueryBankHook'))
    getattr(hook, f'before_{way}')(runner)
    change_weights()
    for index in range(2):
        getattr(hook, f'before_{way}_iter')(runner, batch_idx=index)


def make_metric(ann_file, **options):
    bank = dict(ann_file=ann_file, num_queries=60, seed=3)
    return TextVideoRetrievalMetric(query_bank=bank | options.pop('bank', {}), **options)


def predict(num_videos=12):
    """One frame a video and one caption that resembles it."""
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


def evaluate(metric, samples=None):
    metric.process(None, samples or predict())
    return metric.evaluate(12)


def expected_metrics(model, ann_file, normalise=dynamic_inverted_softmax, **options):
    """Recomputed from sentences and predictions, without hook and metric."""
    annotations = json.loads(Path(ann_file).read_text())
    captions = [caption for texts in list(annotations.values())[:-1] for caption in texts]
    captions += annotations['кошка.mp4']['captions']
    drawn = np.random.default_rng(3).choice(len(captions), 60, replace=False)
    tokens = TokenizeCaptions(max_words=8)(dict(text=[captions[i] for i in drawn]))['text']
    videos = torch.cat([sample['features']['frame_features'] for sample in predict()])
    texts = torch.cat([sample['features']['text_features'] for sample in predict()])
    bank, texts, videos = (
        F.normalize(feature.detach())
        for feature in (model.embedding(tokens).sum(dim=1), texts, videos)
    )
    normalised = normalise(texts @ videos.T, bank @ videos.T, **options)
    return retrieval_metrics(normalised, np.arange(12))


@pytest.mark.parametrize('way', ['val', 'test'])
@pytest.mark.parametrize('options', [{}, dict(topk=3, inverse_temperature=5.0)])
def test_numbers_of_the_bank(ann_file, way, options):
    metric = make_metric(ann_file, bank=options)
    runner = make_runner(metric)
    fill_banks(runner, way)
    assert set(runner.model.modes) == {(False, False)}
    metrics = evaluate(metric)
    expected = expected_metrics(runner.model, ann_file, **options)
    names = ('R1', 'R5', 'R10', 'R50', 'MdR', 'MnR')
    assert {key for key in metrics if '_qb' in key} == {f't2v_qb/{name}' for name in names}
    for name in names:
        assert metrics[f't2v_qb/{name}'] == pytest.approx(expected[f't2v/{name}'])
    assert metrics['t2v_qb/MnR'] != metrics['t2v/MnR']


def test_sinkhorn_of_the_bank(ann_file):
    metric = make_metric(ann_file, sinkhorn=dict(inverse_temperature=5.0, num_iterations=3))
    runner = make_runner(metric)
    fill_banks(runner)
    metrics = evaluate(metric)
    options = dict(inverse_temperature=5.0, num_iterations=3)
    expected = expected_metrics(runner.model, ann_file, sinkhorn_bank_scores, **options)
    rows = {'t2v', 'v2t', 't2v_sinkhorn', 'v2t_sinkhorn', 't2v_qb', 't2v_qb_sinkhorn'}
    assert {key.split('/')[0] for key in metrics} == rows
    for name in ('R1', 'R5', 'MdR', 'MnR'):
        assert metrics[f't2v_qb_sinkhorn/{name}'] == pytest.approx(expected[f't2v/{name}'])
    assert metrics['t2v_qb_sinkhorn/MnR'] != metrics['t2v/MnR']


@pytest.mark.parametrize('way', ['val', 'test'])
def test_the_weights_are_those_of_the_evaluation(ann_file, way):
    """EMAHook swaps them before the epoch of the evaluation, after ``before_val``."""
    metric = make_metric(ann_file)
    runner = make_runner(metric)
    fill_banks(runner, way, lambda: runner.model.embedding.weight.data.mul_(-1))
    expected = expected_metrics(runner.model, ann_file)
    assert evaluate(metric)['t2v_qb/MnR'] == pytest.approx(expected['t2v/MnR'])


def test_dump_holds_the_bank(ann_file, tmp_path):
    metric = make_metric(ann_file, dump=str(tmp_path / 'out.npz'))
    fill_banks(make_runner(metric))
    evaluate(metric)
    with np.load(tmp_path / 'out.npz', allow_pickle=False) as saved:
        assert saved['bank_similarity'].shape == (60, 12)
        assert 1 < np.abs(saved['bank_similarity']).max() <= SCALE  # logits
        assert saved['bank_captions'].shape == (60,)
        assert saved['bank_captions'][0].startswith('a ')
        assert saved['logit_scale'] == SCALE


@pytest.mark.parametrize('processes', [2, 3])
def test_processes_share_the_work_and_change_nothing(ann_file, monkeypatch, processes):
    monkeypatch.setattr(query_bank_hook, 'BATCH_SIZE', 16)
    alone = make_metric(ann_file)
    fill_banks(make_runner(alone))
    parts = []

    def collect(part, size):
        parts.append(part)
        if rank != 0:
            return None
        assert size == 4
        ranks = [part, *parts[:-1]]
        return [ranks[index % processes][index // processes] for index in range(size)]

    monkeypatch.setattr(query_bank_hook, 'collect_on_main', collect)
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
    with pytest.raises(ValueError, match=r"needs dict\(type='QueryBankHook'\) in custom_hooks"):
        evaluate(make_metric(ann_file))


def test_wrong_annotation_fails_before_the_test(tmp_path):
    with pytest.raises(FileNotFoundError, match='annotation file nowhere.json does not exist'):
        fill_banks(make_runner(make_metric('nowhere.json')))
    path = tmp_path / 'train.json'
    path.write_text('{"0.mp4": []}')
    with pytest.raises(ValueError, match="train.json: '0.mp4' has no captions"):
        fill_banks(make_runner(make_metric(str(path))))


def test_pipeline_without_tokenizer(ann_file):
    with pytest.raises(ValueError, match=r"has no TokenizeCaptions, found \['type'\]"):
        fill_banks(make_runner(make_metric(ann_file), pipeline=[str]))


def test_weights_that_give_nan(ann_file):
    model = TextModel()
    model.embedding.weight.data.fill_(float('nan'))
    with pytest.raises(ValueError, match="query_bank: 60 of 60 captions .* the first is 'a red"):
        fill_banks(make_runner(make_metric(ann_file), model=model))


@pytest.mark.parametrize('is_shared', [True, False])
def test_warns_of_test_videos_in_the_bank(ann_file, log_records, is_shared):
    metric = make_metric(ann_file)
    fill_banks(make_runner(metric))
    samples = predict()
    if is_shared:
        samples[3]['video_id'] = 'train4.mp4'
    evaluate(metric, samples)
    warnings = [record.getMessage() for record in log_records if record.levelname == 'WARNING']
    assert len(warnings) == is_shared
    assert not is_shared or '1 videos of the bank have names of test videos' in warnings[0]
    assert not is_shared or "'train4.mp4'" in warnings[0]
