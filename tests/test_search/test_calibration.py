"""Searches with a calibration, against the formula of QB-Norm computed in loops."""

import math
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from index_data import DIMS, FRAMES, describe, make_entry, score_of, unit

from ts2net_mm.evaluation import dynamic_inverted_softmax
from ts2net_mm.search import (
    Layout,
    OtherScore,
    VideoFilter,
    VideoIndex,
    VideoStore,
    bank_scores,
    calibrate,
    write_calibration,
)
from ts2net_mm.search.current_calibration import update_calibration

B = 20.0


@pytest.fixture
def queries():
    return np.random.default_rng(0).standard_normal((24, DIMS))


@pytest.fixture
def bank():
    """Few sentences, so that most videos are no hub candidates."""
    return np.random.default_rng(1).standard_normal((6, DIMS)).astype(np.float32)


def fill(store, entries):
    with store.writer() as writer:
        writer.add(entries)
    return VideoIndex(store.folder)


def make(index, bank, **settings):
    calibration = calibrate(index, bank, **settings)
    write_calibration(index.store.folder, calibration)
    return calibration


def scores_of(entries, queries):
    return np.array([[score_of(entry, query) for entry in entries] for query in queries])


def attractions_of(entries, bank, b=B):
    """What the bank's scores subtract, as the formula is printed."""
    columns = scores_of(entries, bank).T
    return np.array([math.log(sum(math.exp(b * score) for score in row)) / b for row in columns])


def hubs_of(entries, bank, topk=1, among=None):
    """Videos that fewer than topk of the videos of the calibration beat for some sentence."""
    among = scores_of(among or entries, bank)
    return [
        any((row > score).sum() < topk for row, score in zip(among, column, strict=True))
        for column in scores_of(entries, bank).T
    ]


def expected(entries, scores, attractions, hubs):
    """Paths, scores and calibrated scores, best first, and whether the latter rank them."""
    changed = bool(hubs[scores.argmax()])
    ranked_by = scores - attractions if changed else scores
    order = np.argsort(-ranked_by)
    return [entries[n].path for n in order], scores[order], (scores - attractions)[order], changed


def assert_equal(results, entries, queries, attractions, hubs, topk):
    for row, result in zip(scores_of(entries, queries), results, strict=True):
        paths, scores, calibrated, changed = expected(entries, row, attractions, hubs)
        assert result.exact
        assert result.is_calibrated == changed
        assert [hit.path for hit in result.hits] == paths[:topk]
        assert [hit.rank for hit in result.hits] == list(range(1, len(result.hits) + 1))
        found = [(hit.score, hit.calibrated) for hit in result.hits]
        pairs = np.stack([scores, calibrated], axis=1)[:topk]
        np.testing.assert_allclose(found, pairs, atol=1e-6)
        assert all(hit.score == hit.moments[0].score for hit in result.hits)


@pytest.mark.parametrize(('topk', 'hub_topk'), [(1, 1), (5, 3), (100, 1)])
@pytest.mark.parametrize('dynamic', [True, False])
def test_hits_are_those_of_the_formula(store, entries, queries, bank, topk, hub_topk, dynamic):
    index = fill(store, entries)
    make(index, bank, topk=hub_topk, dynamic=dynamic)
    hubs = hubs_of(entries, bank, hub_topk) if dynamic else [True] * len(entries)
    results = index.search(queries, topk=topk, calibrated=True)
    assert_equal(results, entries, queries, attractions_of(entries, bank), hubs, topk)
    assert {result.is_calibrated for result in results} == ({True, False} if dynamic else {True})


def test_the_ranking_is_that_of_the_evaluation(store, entries, queries, bank):
    index = fill(store, entries)
    make(index, bank, inverse_temperature=5.0, topk=2)
    scores, of_bank = scores_of(entries, queries), scores_of(entries, bank)
    normalised = dynamic_inverted_softmax(scores, of_bank, inverse_temperature=5.0, topk=2)
    results = index.search(queries, topk=len(entries), calibrated=True)
    for row, plain, result in zip(normalised, scores, results, strict=True):
        order = np.argsort(-row)
        assert [hit.path for hit in result.hits] == [entries[number].path for number in order]
        found = [hit.calibrated if result.is_calibrated else hit.score for hit in result.hits]
        np.testing.assert_allclose(found, row[order], atol=1e-6)
        assert result.is_calibrated == (not np.array_equal(row, plain))


def test_a_hub_is_ranked_lower(store):
    """A video that fits the whole bank loses against one that fits only the query."""
    hub, other = (make_entry(name, seed=1, num_windows=1, spread=0.01) for name in 'ab')
    axes = np.eye(DIMS)
    for entry, direction in ((hub, axes[0] + 0.2 * axes[1]), (other, axes[1] + 1.1 * axes[2])):
        entry.windows.features[:] = direction
    index = fill(store, [hub, other])
    make(index, np.stack([axes[0], axes[0] + 0.3 * axes[3]]))
    query = (axes[0] + 0.8 * axes[1])[None]
    plain, calibrated = (index.search(query, calibrated=flag)[0] for flag in (False, True))
    assert [hit.path for hit in plain.hits] == ['a', 'b']
    assert [hit.path for hit in calibrated.hits] == ['b', 'a']
    assert calibrated.hits[1].score == plain.hits[0].score
    assert {hit.calibrated for hit in plain.hits} == {None}


def test_videos_are_read_in_blocks(store, entries, queries, bank, monkeypatch):
    monkeypatch.setattr(bank_scores, 'WINDOWS_AT_A_TIME', 3)
    monkeypatch.setattr(bank_scores, 'QUERIES_AT_A_TIME', 4)
    index, numbers = fill(store, entries), []
    calibration = calibrate(index, bank, on_progress=numbers.append)
    assert sum(numbers) == len(entries)
    assert len(numbers) > 10
    np.testing.assert_allclose(
        calibration.videos['attraction'], attractions_of(entries, bank), atol=1e-6
    )
    np.testing.assert_array_equal(calibration.videos['is_hub'], hubs_of(entries, bank))


def test_fewer_videos_than_hub_candidates(store, entries, bank):
    calibration = calibrate(fill(store, entries[:3]), bank, topk=5)
    assert calibration.videos['is_hub'].all()


@pytest.mark.parametrize('dynamic', [True, False])
def test_exact_is_true_only_of_the_best(store, queries, bank, dynamic):
    """Where the limit ends the search early, a result may be right but must not claim it."""
    entries = [make_entry(f'{number}', seed=number, spread=2.0) for number in range(60)]
    index = fill(store, entries)
    make(index, bank, dynamic=dynamic, topk=12)
    attractions = attractions_of(entries, bank)
    hubs = hubs_of(entries, bank, 12) if dynamic else [True] * 60
    claims, rights, scores = [], [], scores_of(entries, queries)
    for limit in (1, 10, 40, 70, 100, None):
        results = index.search(
            queries, topk=3, calibrated=True, max_candidates=limit, num_moments=1
        )
        for row, result in zip(scores, results, strict=True):
            paths, _, _, changed = expected(entries, row, attractions, hubs)
            claims.append(result.exact)
            same = [hit.path for hit in result.hits] == paths[:3]
            rights.append(same and result.is_calibrated == changed)
            if limit is not None:
                assert result.num_scored <= limit + 3 * 2
    assert all(right for claim, right in zip(claims, rights, strict=True) if claim)
    assert 24 < sum(claims) < len(claims) - 24
    assert not all(rights)
    assert all(claims[-len(queries) :])


def test_few_windows_are_scored_where_frames_are_alike(tmp_path, queries, bank):
    layout = Layout(FRAMES, DIMS, 'float16')
    store = VideoStore.create(tmp_path / 'alike', describe(layout=layout))
    entries = [
        make_entry(f'{number}', seed=number, num_windows=5, spread=0.05) for number in range(300)
    ]
    index = fill(store, entries)
    make(index, bank, dynamic=False)
    for result in index.search(queries, topk=5, calibrated=True):
        assert result.exact
        assert result.num_scored < 200  # of 1,500


def test_filters(store, entries, queries, bank):
    index = fill(store, entries)
    make(index, bank)
    view = index.store.view()
    attractions, hubs = attractions_of(entries, bank), hubs_of(entries, bank)
    allowed = np.arange(len(entries)) % 3 == 0
    results = index.search(queries, topk=9, calibrated=True, allowed=allowed, view=view)
    assert_equal(results, entries[::3], queries, attractions[::3], hubs[::3], 9)
    long = [n for n, entry in enumerate(entries) if len(entry.windows) > 2]
    filters = VideoFilter(min_duration=20, changed_after=datetime(1970, 1, 1))
    results = index.search(queries, topk=9, calibrated=True, filters=filters)
    chosen = ([entries[n] for n in long], attractions[long], [hubs[n] for n in long])
    assert_equal(results, chosen[0], queries, *chosen[1:], 9)
    nothing = index.search(queries[:1], calibrated=True, allowed=np.zeros(len(entries), bool))[0]
    assert (nothing.hits, nothing.exact, nothing.is_calibrated) == ([], True, False)


def test_videos_that_are_added_replaced_and_removed(store, entries, queries, bank):
    """Each has its own number by the formula, and the best of the bank stay those of before."""
    first = entries[:40]
    index = fill(store, first)
    calibration = make(index, bank)
    replaced = [make_entry(entry.path, seed=1000 + n) for n, entry in enumerate(entries[:10])]
    fitting = make_entry('/videos/fits the bank.mp4', seed=5, num_windows=1, spread=0.01)
    fitting.windows.features[:] = bank[2]
    with store.writer() as writer:
        writer.add(replaced)
        writer.remove(entry.path for entry in entries[10:15])
        writer.add([*entries[40:], fitting])
    now = [*entries[15:40], *replaced, *entries[40:], fitting]
    attractions, hubs = attractions_of(now, bank), hubs_of(now, bank, among=first)
    assert hubs[-1]
    assert len(calibration.new_videos(store.view())) == 31
    search = (queries, now, attractions, hubs)
    assert_current(index, *search)
    assert len(index.calibration().videos) == len(now)  # computed once
    assert_current(VideoIndex(store.folder), *search)
    # the same when it is stored, and when the index is compacted
    updated = update_calibration(calibration, store.view(), index.score)
    write_calibration(store.folder, updated)
    assert len(VideoIndex(store.folder).calibration().videos) == len(now)
    store.compact()
    assert len(store.view().videos) == len(now)
    assert len(updated.new_videos(store.view())) == 0
    assert update_calibration(updated, store.view(), index.score) is updated
    assert_current(index, *search)
    assert_current(VideoIndex(store.folder), *search)


def assert_current(index, queries, entries, attractions, hubs):
    results = index.search(queries, topk=7, calibrated=True)
    assert_equal(results, entries, queries, attractions, hubs, 7)


def test_a_video_that_is_encoded_again_stays_a_hub_candidate(store, entries, bank):
    index = fill(store, entries)
    calibration = calibrate(index, bank)
    hubs = {path for path, hub in zip(entries, hubs_of(entries, bank), strict=True) if hub}
    with store.writer() as writer:
        writer.add(entries)
    updated = update_calibration(calibration, store.view(), index.score)
    assert int(updated.videos['is_hub'].sum()) == len(hubs)


def test_a_score_without_a_bound(store, entries, queries, bank):
    """Products with features as the model returned them."""

    def similarity(query, features, mask):
        return np.where(mask, features @ query[0], -np.inf).max(axis=1)[None]

    fill(store, entries)
    index = VideoIndex(store.folder, score=OtherScore(similarity))
    make(index, bank, inverse_temperature=2.0, dynamic=False)
    scores = np.array(
        [
            [
                max(
                    (window[mask] @ unit(query)).max()
                    for window, mask in zip(
                        entry.windows.features, entry.windows.frame_mask, strict=True
                    )
                )
                for entry in entries
            ]
            for query in [*bank, *queries[:3]]
        ]
    )
    attractions = np.log(np.exp(2 * scores[: len(bank)]).sum(axis=0)) / 2
    results = index.search(queries[:3], topk=9, calibrated=True)
    for row, result in zip(scores[len(bank) :], results, strict=True):
        order = np.argsort(attractions - row)[:9]
        assert [hit.path for hit in result.hits] == [entries[number].path for number in order]


def test_a_calibration_that_is_replaced_is_read_again(store, entries, queries, bank):
    index = fill(store, entries)
    make(index, bank, dynamic=False)
    index.search(queries[:1], calibrated=True)
    other = bank[:2] + 1
    make(index, other, dynamic=False)
    results = index.search(queries, topk=4, calibrated=True)
    assert_equal(results, entries, queries, attractions_of(entries, other), [True] * 60, 4)


def test_the_file_keeps_everything(store, entries, bank):
    index = fill(store, entries)
    calibration = make(index, bank, source='train.json', inverse_temperature=3.0, topk=2)
    found = VideoIndex(store.folder).calibration()
    for name in ('fingerprint', 'source', 'inverse_temperature', 'topk', 'dynamic', 'validation'):
        assert getattr(found, name) == getattr(calibration, name)
    for name in ('bank', 'hub_scores', 'videos'):
        np.testing.assert_array_equal(getattr(found, name), getattr(calibration, name))
    assert found.bank_digest == calibration.bank_digest
    assert found.bank_digest != calibrate(index, bank[:5]).bank_digest
    assert [path.name for path in store.folder.glob('.*')] == []


def test_no_calibration(store, entries, queries):
    index = fill(store, entries)
    with pytest.raises(FileNotFoundError, match='has no calibration; .* calibrate --queries FILE'):
        index.search(queries, calibrated=True)
    assert index.search(queries[:1])[0].exact


def test_a_damaged_calibration(store, entries, queries, bank):
    index = fill(store, entries)
    make(index, bank)
    path = store.folder / 'calibration'
    content = path.read_bytes()
    flipped = [
        content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        for place in (0, 100, len(content) // 2, len(content) - 1)
    ]
    for damaged in [b'', b'{}', content[:-1], content + b'\0', *flipped]:
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match='calibration is damaged .* makes it again'):
            VideoIndex(store.folder).search(queries, calibrated=True)
    path.write_bytes(content)
    assert VideoIndex(store.folder).search(queries[:1], calibrated=True)[0].exact


def test_a_calibration_of_another_model(store, entries, queries, bank):
    index = fill(store, entries)
    calibration = calibrate(index, bank)
    write_calibration(store.folder, replace(calibration, fingerprint='another'))
    with pytest.raises(ValueError, match='was made for another model'):
        index.search(queries, calibrated=True)


@pytest.mark.parametrize(
    ('bank', 'settings', 'message'),
    [
        (np.empty((0, DIMS)), {}, 'the query bank holds no sentence'),
        (np.ones((2, 3)), {}, r'shape \(2, 3\), expected \(queries, 16\)'),
        (np.full((2, DIMS), np.inf), {}, 'not finite'),
        (np.ones((2, DIMS)), dict(inverse_temperature=0), 'inverse_temperature=0 must'),
        (np.ones((2, DIMS)), dict(topk=0), 'topk=0 must'),
    ],
)
def test_wrong_banks(store, entries, bank, settings, message):
    index = fill(store, entries)
    with pytest.raises(ValueError, match=message):
        calibrate(index, bank, **settings)


def test_an_index_without_videos(store, bank):
    with pytest.raises(ValueError, match='the index holds no video'):
        calibrate(VideoIndex(store.folder), bank)
