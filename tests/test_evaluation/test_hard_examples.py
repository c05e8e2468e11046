"""The hardest pairs, against loops."""

import numpy as np
import pytest

from ts2net_mm.evaluation import most_confused_pairs, ranking, worst_ranked_texts
from ts2net_mm.evaluation.hard_examples import ConfusedPair, WorstText


def draw(seed=0):
    rng = np.random.default_rng(seed)
    owners = rng.permutation([0, 1, 2, 3, 5, *rng.integers(0, 6, 15)])
    owners[owners == 4] = 5  # video 4 has no text
    return rng.normal(size=(20, 6)), owners


def test_worst_text_and_the_videos_before_its_own():
    similarity = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.3], [0.9, 0.2, 0.1], [0.1, 0.0, 0.2]])
    owners = [0, 1, 2, 1]
    assert worst_ranked_texts(similarity, owners, count=2, num_best=2) == [
        WorstText(text=2, rank=3, best_videos=[0, 1]),
        WorstText(text=1, rank=3, best_videos=[0, 2]),
    ]
    assert [worst.text for worst in worst_ranked_texts(similarity, owners, count=9)] == [2, 1, 3]


@pytest.mark.parametrize('seed', range(5))
def test_worst_texts_equal_loop(seed):
    similarity, owners = draw(seed)
    ranks = [int(sum(row >= row[own])) for row, own in zip(similarity, owners, strict=True)]
    misses = [max(row) - row[own] for row, own in zip(similarity, owners, strict=True)]
    expected = sorted(range(20), key=lambda text: (-ranks[text], -misses[text]))
    found = worst_ranked_texts(similarity, owners, count=20)
    assert [worst.text for worst in found] == [text for text in expected if ranks[text] > 1]
    for worst in found:
        assert worst.rank == ranks[worst.text]
        assert list(worst.best_videos) == np.argsort(-similarity[worst.text])[:3].tolist()


def test_swapped_videos_are_the_most_confused():
    similarity = np.eye(4)
    similarity[[1, 3]] = similarity[[3, 1]]
    first, *others = most_confused_pairs(similarity, np.arange(4), count=6)
    assert first == ConfusedPair(videos=(1, 3), excess=1.0)
    assert len(others) == 5
    assert max(pair.excess for pair in others) < first.excess


@pytest.mark.parametrize('block', [1, 30, 2**22])
@pytest.mark.parametrize('seed', range(3))
def test_confused_pairs_equal_loop(monkeypatch, block, seed):
    monkeypatch.setattr(ranking, 'BLOCK_ELEMENTS', block)
    similarity, owners = draw(seed)
    excess = {}
    for a, b in np.ndindex(6, 6):
        if a < b and 4 not in (a, b):
            of_a = np.mean([row[b] - row[a] for row in similarity[owners == a]])
            of_b = np.mean([row[a] - row[b] for row in similarity[owners == b]])
            excess[a, b] = (of_a + of_b) / 2
    expected = sorted(excess, key=lambda pair: -excess[pair])
    found = most_confused_pairs(similarity, owners, count=100)
    assert [pair.videos for pair in found] == expected
    assert [pair.excess for pair in found] == pytest.approx([excess[pair] for pair in expected])
    assert most_confused_pairs(similarity, owners, count=2) == found[:2]


@pytest.mark.parametrize('find', [worst_ranked_texts, most_confused_pairs])
def test_scores_that_cannot_be_compared(find):
    with pytest.raises(ValueError, match='similarity has 1 NaN or infinite'):
        find(np.array([[np.inf, 0], [0, 1]]), [0, 1], count=1)
    with pytest.raises(ValueError, match='there is only one video'):
        find(np.ones((2, 1)), [0, 0], count=1)
