"""Search of an index, against scores of all videos computed by the definition."""

import threading

import numpy as np
import pytest
from index_data import DIMS, FRAMES, describe, make_entry, ranking, score_of, unit

from ts2net_mm.search import (
    DamagedIndexError,
    FrameWeightedScore,
    Layout,
    OtherScore,
    VideoIndex,
    VideoStore,
)


def fill(store, entries):
    with store.writer() as writer:
        writer.add(entries)
    return VideoIndex(store.folder)


@pytest.fixture
def queries():
    return np.random.default_rng(0).standard_normal((7, DIMS))


@pytest.mark.parametrize('topk', [1, 10, 100])
def test_hits_are_those_of_all_scores(store, entries, queries, topk):
    index = fill(store, entries)
    for query, result in zip(queries, index.search(queries, topk=topk), strict=True):
        expected = ranking(entries, query)[:topk]
        assert result.exact
        assert [hit.path for hit in result.hits] == [path for path, _ in expected]
        assert [hit.rank for hit in result.hits] == list(range(1, len(expected) + 1))
        scores = [hit.score for hit in result.hits]
        np.testing.assert_allclose(scores, [score for _, score in expected], atol=1e-6)


def test_an_index_of_several_segments_is_read_in_blocks(store, entries, queries, monkeypatch):
    monkeypatch.setattr('ts2net_mm.search.view.WINDOWS_AT_A_TIME', 7)
    with store.writer() as one, store.writer() as two:
        one.add(entries[:25])
        two.add(entries[25:])
        one.add(entries[:5])  # again
    index = VideoIndex(store.folder)
    assert len(index.store.view().segments) == 2
    for query, result in zip(queries, index.search(queries, topk=5), strict=True):
        assert [hit.path for hit in result.hits] == [p for p, _ in ranking(entries, query)[:5]]


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_few_windows_are_scored_where_frames_are_alike(tmp_path, queries, dtype):
    layout = Layout(FRAMES, DIMS, dtype)
    store = VideoStore.create(tmp_path / dtype, describe(layout=layout))
    entries = [
        make_entry(f'{number}', seed=number, num_windows=5, spread=0.05) for number in range(400)
    ]
    index = fill(store, entries)
    for query, result in zip(queries, index.search(queries, topk=5), strict=True):
        expected = ranking(entries, query, dtype)[:5]
        assert result.exact
        assert [hit.path for hit in result.hits] == [path for path, _ in expected]
        assert result.num_scored < 200  # of 2,000


def test_half_precision_changes_scores_by_little(tmp_path, entries, queries):
    scores = {}
    for dtype in ('float16', 'float32'):
        layout = Layout(FRAMES, DIMS, dtype)
        index = fill(VideoStore.create(tmp_path / dtype, describe(layout=layout)), entries)
        result = index.search(queries[:1], topk=60)[0]
        scores[dtype] = {hit.path: hit.score for hit in result.hits}
    differences = [
        abs(scores['float16'][path] - scores['float32'][path]) for path in scores['float32']
    ]
    assert 0 < max(differences) < 1e-3


def test_a_search_that_stops_early_does_not_claim_to_be_exact(store, queries):
    entries = [make_entry(f'{number}', seed=number, spread=2.0) for number in range(200)]
    index = fill(store, entries)
    results = index.search(queries, topk=5, max_candidates=50, num_moments=1)
    assert not any(result.exact for result in results)
    assert all(len(result.hits) == 5 and result.num_scored <= 50 + 5 * 2 for result in results)
    assert all(result.exact for result in index.search(queries, topk=5))


def test_moments_do_not_overlap_and_name_their_best_frame(store, queries):
    entry = make_entry('a', seed=1, num_windows=30, spread=1.0)
    index = fill(store, [entry, make_entry('b', seed=2)])
    hit = next(h for h in index.search(queries[:1])[0].hits if h.path == 'a')
    assert hit.score == hit.moments[0].score == pytest.approx(score_of(entry, queries[0]))
    assert hit.duration == 29 * 6 + 12
    scores = [moment.score for moment in hit.moments]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    spans = sorted((moment.start, moment.end) for moment in hit.moments)
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    for moment in hit.moments:
        window = int(moment.start / 6)
        assert moment.end == moment.start + 12
        mask = entry.windows.frame_mask[window]
        cosines = unit(entry.windows.features[window][mask].astype(float)) @ unit(queries[0])
        np.testing.assert_allclose(moment.frame_scores, cosines, atol=1e-6)
        seconds = entry.windows.frame_seconds[window][mask]
        np.testing.assert_array_equal(moment.frame_seconds, seconds)
        assert moment.best_seconds == seconds[cosines.argmax()]


def test_unknown_times_are_none(store, queries):
    entry = make_entry('a', seed=1)
    entry.windows.frame_seconds[:] = np.nan
    object.__setattr__(entry, 'duration', float('nan'))
    hit = fill(store, [entry]).search(queries[:1])[0].hits[0]
    assert hit.duration is None
    assert hit.moments[0].best_seconds is None


def test_only_allowed_videos_are_found(store, entries, queries):
    index = fill(store, entries)
    view = index.store.view()
    allowed = np.arange(len(view.videos)) % 3 == 0
    result = index.search(queries[:1], topk=100, allowed=allowed, view=view)[0]
    expected = [path for path, _ in ranking(entries[::3], queries[0])]
    assert [hit.path for hit in result.hits] == expected
    assert result.exact
    nothing = index.search(queries[:1], allowed=np.zeros(len(entries), bool), view=view)[0]
    assert (nothing.hits, nothing.exact) == ([], True)


def test_replaced_and_removed_videos_are_not_found(store, entries, queries):
    index = fill(store, entries)
    replaced = make_entry(entries[0].path, seed=1000)
    with store.writer() as writer:
        writer.remove(entry.path for entry in entries[1:30])
        writer.add([replaced])
    assert index.count() == (31, 2 + sum(len(entry.windows) for entry in entries[30:]))
    assert len(index.read_video(replaced.path).table) == 2
    assert index.read_video(entries[1].path) is None
    hits = index.search(queries[:1], topk=100)[0].hits
    expected = ranking([replaced, *entries[30:]], queries[0])
    assert [hit.path for hit in hits] == [path for path, _ in expected]
    store.compact()
    assert [hit.path for hit in index.search(queries[:1], topk=100)[0].hits] == [
        path for path, _ in expected
    ]


def test_an_empty_index(store, queries):
    result = VideoIndex(store.folder).search(queries)[0]
    assert (result.hits, result.exact, result.num_scored) == ([], True, 0)


def test_the_mean_pooled_score_needs_few_frames(tmp_path, entries, queries):
    settings = dict(type='mean_pooled')
    store = VideoStore.create(tmp_path / 'mean', describe(score=settings))
    index = fill(store, entries)
    for query, result in zip(queries, index.search(queries, topk=3), strict=True):
        scores = {}
        for entry in entries:
            frames = unit(entry.windows.features.astype(np.float64))
            means = [
                f[m].mean(axis=0) for f, m in zip(frames, entry.windows.frame_mask, strict=True)
            ]
            scores[entry.path] = max(unit(np.array(means)) @ unit(query))
        assert result.exact
        assert [hit.path for hit in result.hits] == sorted(scores, key=lambda p: -scores[p])[:3]
        assert result.num_scored < 60


def test_an_index_without_a_certified_score_needs_one(tmp_path):
    folder = VideoStore.create(tmp_path / 'other', describe(score=None)).folder
    with pytest.raises(ValueError, match='no certified bound'):
        VideoIndex(folder)
    assert VideoIndex(folder, score=FrameWeightedScore()).search(np.ones((1, DIMS)))[0].exact


def test_other_similarities_score_all_windows(store, entries, queries):
    """The largest product of query and features, which depends on the length of the features."""

    def similarity(query, features, mask):
        assert query.shape == (1, DIMS)
        products = np.where(mask, features @ query[0], -np.inf)
        return products.max(axis=1)[None]

    fill(store, entries)
    index = VideoIndex(store.folder, score=OtherScore(similarity))
    result = index.search(queries[:1], topk=60)[0]
    scores = {
        entry.path: max(
            (window[mask] @ unit(queries[0])).max()
            for window, mask in zip(entry.windows.features, entry.windows.frame_mask, strict=True)
        )
        for entry in entries
    }
    assert result.exact
    assert result.num_scored == sum(len(entry.windows) for entry in entries)
    assert [hit.path for hit in result.hits] == sorted(scores, key=lambda path: -scores[path])
    assert not index.search(queries[:1], max_candidates=100)[0].exact


@pytest.mark.parametrize(
    ('queries', 'topk', 'message'),
    [
        (np.ones((1, DIMS)), 0, 'topk=0'),
        (np.ones((1, 3)), 1, r'shape \(1, 3\), expected \(queries, 16\)'),
        (np.ones(DIMS), 1, r'shape \(16,\)'),
        (np.full((1, DIMS), np.nan), 1, 'not finite'),
    ],
)
def test_wrong_queries(store, queries, topk, message):
    with pytest.raises(ValueError, match=message):
        VideoIndex(store.folder).search(queries, topk=topk)


@pytest.mark.parametrize('value', [np.nan, 0.5])
def test_a_wrong_mean_is_an_error(store, entries, queries, value):
    index = fill(store, entries)
    (path,) = store.folder.glob('segments/*/means')
    means = np.memmap(path, np.float32, 'r+').reshape(-1, DIMS)
    window = int((means @ queries[0].astype(np.float32)).argmax())
    means[window, 3] += value
    means.flush()
    with pytest.raises(DamagedIndexError, match='a mean of /videos/.* is'):
        index.search(queries[:1])


@pytest.mark.slow
def test_eight_clients_while_videos_are_added(store):
    """Every answer is that of all scores of the videos of its view."""
    entries = [make_entry(f'{n:03}', seed=n, num_windows=3, spread=0.1) for n in range(300)]
    by_path = {entry.path: entry for entry in entries}
    index, wrong, num_answers = fill(store, entries[:5]), [], []
    added = threading.Event()

    def ask(seed):
        rng = np.random.default_rng(seed)
        while not added.is_set() or len(num_answers) < 200:
            query, view = rng.standard_normal(DIMS), index.store.view()
            present = [by_path[video.path] for video in view.encoded_videos()]
            (result,) = index.search(query[None], topk=3, view=view)
            expected = [path for path, _ in ranking(present, query)[:3]]
            if not result.exact or [hit.path for hit in result.hits] != expected:
                wrong.append((seed, len(present)))
            num_answers.append(len(present))

    clients = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for client in clients:
        client.start()
    with store.writer() as writer:
        for entry in entries[5:]:
            writer.add([entry])
    store.compact()
    added.set()
    for client in clients:
        client.join()
    assert wrong == []
    assert len(set(num_answers)) > 5
