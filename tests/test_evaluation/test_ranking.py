"""Ranks and recalls, against loops and against the released metric."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ts2net_mm.evaluation import inverted_softmax, ranking, retrieval_metrics, tiles

DATA = Path(__file__).parents[1] / 'data'
RELEASED = json.loads((DATA / 'metrics.json').read_text())


def released_case(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Read similarity and video of each text of one stored case."""
    with np.load(DATA / 'metrics.npz') as arrays:
        return arrays[f'sim{index}'], arrays[f'video_of_text{index}']


@pytest.mark.parametrize('index', range(3))
def test_equals_released_metric_to_the_query(index):
    similarity, owners = released_case(index)
    measured = retrieval_metrics(similarity, owners)
    weighted = retrieval_metrics(inverted_softmax(similarity, 't2v'), owners)
    counts = dict(t2v=len(owners), v2t=len(np.unique(owners)), t2v_dsl=len(owners))
    for row, count in counts.items():
        released = RELEASED[f'case{index}'][row]
        metrics = weighted if row == 't2v_dsl' else measured
        way = row[:3]
        for name in ('R1', 'R5', 'R10', 'R50'):
            hits = released[name] * count / 100
            assert hits == pytest.approx(round(hits), abs=1e-4)  # single precision there
            assert metrics[f'{way}/{name}'] * count / 100 == pytest.approx(round(hits), abs=1e-9)
        assert metrics[f'{way}/MnR'] == pytest.approx(released['MeanR'], abs=1e-6)
        lower_median = released['MedianR']
        assert metrics[f'{way}/MdR'] in (lower_median, lower_median + 0.5)


def loop_ranks(similarity: np.ndarray, video_of_text: list[int]) -> dict[str, list[int]]:
    """Rank text by text and video by video."""
    num_videos = similarity.shape[1]
    t2v = []
    for text, own in enumerate(video_of_text):
        others = [video for video in range(num_videos) if video != own]
        t2v.append(1 + sum(similarity[text, video] >= similarity[text, own] for video in others))
    captions = {video: [] for video in range(num_videos)}
    for text, video in enumerate(video_of_text):
        captions[video].append(text)
    v2t = []
    for video in range(num_videos):
        if not captions[video]:
            continue
        best = {
            owner: max(similarity[text, video] for text in texts)
            for owner, texts in captions.items()
            if texts
        }
        v2t.append(1 + sum(best[o] >= best[video] for o in best if o != video))
    return {'t2v': t2v, 'v2t': v2t}


@pytest.mark.parametrize('block', [1, 7, 64, 2**22])
@pytest.mark.parametrize('values', [3, 10, 10**6])  # three values: almost everything ties
@pytest.mark.parametrize(('num_texts', 'num_videos'), [(2, 2), (61, 13), (23, 70)])
def test_equals_loop(monkeypatch, block, values, num_texts, num_videos):
    monkeypatch.setattr(ranking, 'BLOCK_ELEMENTS', block)
    monkeypatch.setattr(tiles, 'TILE_ELEMENTS', block)
    rng = np.random.default_rng(values + num_texts)
    similarity = rng.integers(0, values, (num_texts, num_videos)).astype(np.float32)
    video_of_text = rng.permutation([0, 1, *rng.integers(0, num_videos, num_texts - 2)])
    metrics = retrieval_metrics(similarity, video_of_text)
    assert all(type(value) is float for value in metrics.values())
    for direction, ranks in loop_ranks(similarity, video_of_text.tolist()).items():
        for k in (1, 5, 10, 50):
            expected = 100 * sum(rank <= k for rank in ranks) / len(ranks)
            assert metrics[f'{direction}/R{k}'] == pytest.approx(expected)
        assert metrics[f'{direction}/MdR'] == np.median(ranks)
        assert metrics[f'{direction}/MnR'] == pytest.approx(sum(ranks) / len(ranks))


def test_best_caption_of_a_video_counts():
    """MSR-VTT full and MSVD: a caption that fits badly does not hurt its video, another's does."""
    similarity = np.array(
        [[0.1, 0.3, 0.2], [0.9, 0.3, 0.2], [0.2, 0.8, 0.1], [0.3, 0.1, 0.4], [0.3, 0.2, 0.7]]
    )
    owners = [0, 0, 1, 2, 2]
    metrics = retrieval_metrics(similarity, owners)
    assert (metrics['v2t/R1'], metrics['t2v/R1']) == (100.0, 80.0)
    similarity[3, 1] = 0.85  # one of two captions of video 2 now ranks video 1 first
    metrics = retrieval_metrics(similarity, owners)
    assert metrics['v2t/R1'] == pytest.approx(200 / 3)
    assert metrics['v2t/MnR'] == pytest.approx(4 / 3)


def test_infinities_are_ordered():
    similarity = [[np.inf, 1.0, -np.inf], [0.0, -np.inf, -np.inf], [1.0, 2.0, 3.0]]
    assert retrieval_metrics(similarity, [0, 1, 2])['t2v/MnR'] == pytest.approx((1 + 3 + 1) / 3)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_takes_tensors(dtype):
    similarity = torch.eye(4, dtype=dtype, requires_grad=True)
    metrics = retrieval_metrics(similarity, torch.arange(4))
    assert metrics['t2v/R1'] == metrics['v2t/R1'] == 100.0


def test_takes_arrays_that_tensors_cannot_share():
    similarity = np.random.default_rng(0).normal(size=(6, 6))
    expected = retrieval_metrics(similarity, np.arange(6))
    fixed = similarity.copy()
    fixed.setflags(write=False)
    for array in (fixed, similarity.astype('>f8'), similarity.astype(np.longdouble)):
        assert retrieval_metrics(array, np.arange(6)) == expected
    assert retrieval_metrics(similarity[::-1], np.arange(6)[::-1]) == expected
    assert retrieval_metrics(similarity.T.copy().T, np.arange(6)) == expected


@pytest.mark.parametrize('block', [4, 2**22])
def test_nan_is_counted_and_located(monkeypatch, block):
    monkeypatch.setattr(ranking, 'BLOCK_ELEMENTS', block)
    monkeypatch.setattr(tiles, 'TILE_ELEMENTS', block)
    similarity = np.zeros((5, 4))
    similarity[2, 3] = similarity[4, 0] = np.nan
    with pytest.raises(ValueError, match=r'2 NaN .* among 20, the first at text 2, video 3'):
        retrieval_metrics(similarity, [0, 1, 2, 3, 0])


@pytest.mark.parametrize(
    ('similarity', 'video_of_text', 'message'),
    [
        (np.zeros(3), [0, 1, 2], r'must be \(texts, videos\), got the shape \(3,\)'),
        (np.zeros((2, 2), complex), [0, 1], 'real numbers, got the dtype complex128'),
        (np.zeros((0, 3)), [], 'has no texts'),
        (np.zeros((3, 0)), [0, 0, 0], 'has no videos'),
        (np.zeros((3, 1)), [0, 0, 0], 'only one video'),
        (np.zeros((3, 4)), [2, 2, 2], 'only video 2 of 4 has captions'),
        (np.zeros((3, 3)), [0, 1], r'each of the 3 texts, got the shape \(2,\)'),
        (np.zeros((2, 3)), [0.0, 1.0], 'must hold integers, got the dtype float64'),
        (np.zeros((3, 3)), [0, 3, 1], r'video_of_text\[1\] is 3, but there are 3 videos'),
        (np.zeros((3, 3)), [0, 2, -1], r'video_of_text\[2\] is -1'),
    ],
)
def test_bad_input(similarity, video_of_text, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(similarity, video_of_text)
