"""Conditions on videos, in the index on disk and through a search."""

from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest
from index_data import DIMS, make_entry

from ts2net_mm.search import VideoFilter, VideoIndex


def at(second):
    return datetime.fromtimestamp(second, timezone.utc)


@pytest.fixture
def index(store):
    names = ['/a/1', '/a/b/2', '/ab/3', '/a%/4', '/a/b']
    durations = [5.0, 10.0, 15.0, float('nan'), 20.0]
    entries = [
        replace(make_entry(name, seed=n, mtime_ns=n * 10**9), duration=duration)
        for n, (name, duration) in enumerate(zip(names, durations, strict=True))
    ]
    with store.writer() as writer:
        writer.add(entries)
    return VideoIndex(store.folder)


@pytest.mark.parametrize(
    ('filters', 'expected'),
    [
        (dict(), {'/a/1', '/a/b/2', '/ab/3', '/a%/4', '/a/b'}),
        (dict(folder='/a'), {'/a/1', '/a/b/2', '/a/b'}),
        (dict(folder='/a/'), {'/a/1', '/a/b/2', '/a/b'}),
        (dict(folder='/a/b'), {'/a/b/2'}),
        (dict(folder='/'), {'/a/1', '/a/b/2', '/ab/3', '/a%/4', '/a/b'}),
        (dict(folder='/a%'), {'/a%/4'}),
        (dict(min_duration=10), {'/a/b/2', '/ab/3', '/a/b'}),
        (dict(max_duration=10), {'/a/1', '/a/b/2'}),
        (dict(changed_after=at(2)), {'/ab/3', '/a%/4', '/a/b'}),
        (dict(changed_before=at(2)), {'/a/1', '/a/b/2'}),
        (dict(folder='/a', min_duration=8, max_duration=12, changed_after=at(1)), {'/a/b/2'}),
        (dict(folder='/nothing'), set()),
    ],
)
def test_videos_that_fit_are_found(index, filters, expected):
    query = np.random.default_rng(0).standard_normal((1, DIMS))
    result = index.search(query, filters=VideoFilter(**filters))[0]
    assert {hit.path for hit in result.hits} == expected
    assert result.exact
