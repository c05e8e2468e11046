"""Tests by the data sets' protocols: one caption a video, the same number each, any number."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from torch import nn

from ts2net_mm.evaluation import TextVideoRetrievalMetric, retrieval_metrics

DATA = Path(__file__).parents[1] / 'data'
RELEASED = json.loads((DATA / 'metrics.json').read_text())


@MODELS.register_module(force=True)
class StoredScores(nn.Module):
    """The score stands in the text feature, at the place that the video feature marks."""

    def forward(self, text, video, frame_mask):
        return text @ video[:, 0].T


def predictions(similarity: np.ndarray, video_of_text: np.ndarray) -> list[dict]:
    """Predictions that have just these scores."""
    samples = []
    for video, mark in enumerate(torch.eye(similarity.shape[1])):
        texts = torch.from_numpy(similarity[video_of_text == video]).float()
        features = dict(
            frame_features=mark[None],
            frame_mask=torch.ones(1),
            text_features=texts,
            logit_scale=1.0,
            similarity=dict(type='StoredScores'),
        )
        samples.append(dict(video_id=f'{video}', captions=[''] * len(texts), features=features))
    return samples


def evaluate(samples, **options):
    metric = TextVideoRetrievalMetric(**options)
    for start in range(0, len(samples), 3):
        metric.process(None, samples[start : start + 3])
    return metric.evaluate(len(samples))


@pytest.mark.parametrize('index', range(3))
def test_metric_equals_released_metric_to_the_query(index):
    """The stored cases: one caption each, the same number each, and ragged."""
    with np.load(DATA / 'metrics.npz') as arrays:
        similarity, owners = arrays[f'sim{index}'], arrays[f'video_of_text{index}']
    released = RELEASED[f'case{index}']
    metrics = evaluate(predictions(similarity, owners), inverted_softmax=True)
    counts = dict(t2v=len(owners), v2t=len(np.unique(owners)), t2v_dsl=len(owners))
    for row, count in counts.items():
        for name in ('R1', 'R5', 'R10', 'R50'):
            hits = released[row][name] * count / 100
            assert hits == pytest.approx(round(hits), abs=1e-4)
            assert metrics[f'{row}/{name}'] * count / 100 == pytest.approx(round(hits), abs=1e-9)
        assert metrics[f'{row}/MnR'] == pytest.approx(released[row]['MeanR'], abs=1e-6)


def test_the_stored_cases_are_the_three_protocols():
    captions = []
    with np.load(DATA / 'metrics.npz') as arrays:
        for index in range(3):
            captions.append(set(np.bincount(arrays[f'video_of_text{index}']).tolist()))
    assert captions[0] == {1}
    assert len(captions[1]) == 1 and captions[1] != {1}
    assert len(captions[2]) > 1


def test_one_caption_a_video_is_the_diagonal():
    """LSMDC and MSR-VTT 1kA: both directions are ranks on the diagonal of the square."""
    similarity = np.random.default_rng(0).normal(size=(40, 40)) + np.eye(40)
    similarity = similarity.astype(np.float32)
    metrics = evaluate(predictions(similarity, np.arange(40)))
    for way, matrix in (('t2v', similarity), ('v2t', similarity.T)):
        ranks = 1 + (matrix > np.diag(matrix)[:, None]).sum(axis=1)
        assert metrics[f'{way}/R1'] == 100 * np.mean(ranks == 1)
        assert metrics[f'{way}/R10'] == 100 * np.mean(ranks <= 10)
        assert metrics[f'{way}/MdR'] == np.median(ranks)
        assert metrics[f'{way}/MnR'] == pytest.approx(ranks.mean())


def test_many_captions_count_by_the_best_one():
    """MSR-VTT full and MSVD: a caption that fits badly does not hurt its video, another's does."""
    similarity = np.array(
        [[0.1, 0.3, 0.2], [0.9, 0.3, 0.2], [0.2, 0.8, 0.1], [0.3, 0.1, 0.4], [0.3, 0.2, 0.7]],
        dtype=np.float32,
    )
    owners = np.array([0, 0, 1, 2, 2])
    metrics = evaluate(predictions(similarity, owners))
    assert metrics['v2t/R1'] == 100.0
    assert metrics['t2v/R1'] == 80.0
    similarity[3, 1] = 0.85  # one of two captions of video 2 now takes video 1
    metrics = evaluate(predictions(similarity, owners))
    assert metrics['v2t/R1'] == pytest.approx(200 / 3)
    assert metrics['v2t/MnR'] == pytest.approx(4 / 3)


def test_copies_of_a_caption_change_no_video_to_text_rank():
    similarity = np.random.default_rng(1).normal(size=(12, 12)).astype(np.float32)
    owners = np.arange(12)
    repeats = np.random.default_rng(2).integers(1, 6, 12)
    once = retrieval_metrics(similarity, owners)
    often = retrieval_metrics(similarity.repeat(repeats, axis=0), owners.repeat(repeats))
    for name in ('R1', 'R5', 'R10', 'MdR', 'MnR'):
        assert often[f'v2t/{name}'] == once[f'v2t/{name}']
