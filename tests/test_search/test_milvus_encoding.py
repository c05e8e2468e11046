"""Encoding into Milvus Lite, against an index in a folder; and what interrupted writers leave."""

import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from index_data import DIMS, ColourEncoder, describe, make_entry
from tiny import write_noise

pytest.importorskip('pymilvus', reason='pymilvus is not installed')
pytest.importorskip('milvus_lite', reason='milvus-lite is not installed')

from ts2net_mm.search import MilvusError, MilvusStore, VideoEntry, open_index
from ts2net_mm.search.encoding import encode_into
from ts2net_mm.search.index_view import FolderView
from ts2net_mm.search.milvus_client import MilvusConnection
from ts2net_mm.search.milvus_view import MilvusView
from ts2net_mm.search.sharing import look_up
from ts2net_mm.search.targets import Target
from ts2net_mm.search.windows import Windowing, WindowReader
from ts2net_mm.video.video_files import find_videos

NOTE = 'it is damaged or no video'


def encode(videos, address, encoder=None, **options):
    options = dict(windowing=Windowing(3.0), num_workers=1) | options
    with Target(address) as target:
        return encode_into(target, find_videos(videos), encoder or ColourEncoder(), **options)


@contextmanager
def opened(address):
    index = open_index(address)
    yield index
    index.close()


def search(index, **options):
    """Paths, scores and moments of the hits of a few queries."""
    queries = np.random.default_rng(0).standard_normal((3, index.description.layout.dims))
    results = index.search(queries, **options)
    assert all(result.exact for result in results)
    return [
        [(hit.path, hit.score, hit.duration, hit.moments) for hit in result.hits]
        for result in results
    ]


@pytest.fixture(scope='module')
def encoded(tmp_path_factory):
    """Videos, and their index in a folder and in Milvus."""
    folder = tmp_path_factory.mktemp('encoded')
    (folder / 'videos').mkdir()
    for number, frames in enumerate((20, 30, 150)):  # 2, 3 and 15 seconds
        write_noise(folder / f'videos/{number}.mp4', num_frames=frames, seed=number)
    (folder / 'videos/bad.mp4').write_text('no video')
    for place in ('index', 'gallery.db'):
        report = encode(folder / 'videos', folder / place)
        assert (report.num_known, report.num_encoded) == (0, 3)
        assert report.skipped == {str(folder / 'videos/bad.mp4'): NOTE}
    return folder


def test_hits_are_those_of_a_folder(encoded):
    with opened(encoded / 'gallery.db') as index:
        expected = open_index(encoded / 'index')
        assert index.count() == expected.count() == (3, 11)
        for one, other in zip(search(index), search(expected), strict=True):
            assert [hit[0] for hit in one] == [hit[0] for hit in other]
            for hit, same in zip(one, other, strict=True):
                assert hit[1] == pytest.approx(same[1], abs=1e-9)
                assert hit[2] == same[2]
                assert [(m.start, m.end, m.best_seconds) for m in hit[3]] == [
                    (m.start, m.end, m.best_seconds) for m in same[3]
                ]


def test_views_for_the_app_agree(encoded):
    with opened(encoded / 'gallery.db') as index:
        views = FolderView(open_index(encoded / 'index')), MilvusView(index)
        assert sorted(views[0].encoded_paths()) == sorted(views[1].encoded_paths())
        assert views[0].count() == views[1].count()
        store = open_index(encoded / 'index').store.view()
        for video in (*store.encoded_videos(), *store.skipped_videos()):
            key = tuple(store.videos['key'][video.number].tolist())
            one, other = (view.find_key(key) for view in views)
            if one.note is not None:
                assert (one.note, other.note) == (NOTE, NOTE)
                continue
            assert replace(one, number=-1) == other
            for seconds in (0.0, 2.2, 2.3, 7.5, 100.0):
                expected, found = views[0].window_mean(one, seconds), views[1]
                np.testing.assert_array_equal(found.window_mean(other, seconds), expected)
            for most in (2, 4, 100):
                both = views[0].frames_of(one, most), views[1].frames_of(other, most)
                assert len(both[1][0]) <= most
                np.testing.assert_array_equal(both[0][0], both[1][0])
                np.testing.assert_array_equal(both[0][1], both[1][1])
        assert views[1].find_key((1, 2)) is None


def test_what_is_there_is_not_read_again(encoded, monkeypatch):
    monkeypatch.setattr(WindowReader, '__call__', None)
    encoder = ColourEncoder()
    report = encode(encoded / 'videos', encoded / 'gallery.db', encoder)
    assert (report.num_known, report.num_encoded, encoder.batches) == (3, 0, [])
    assert report.skipped == {str(encoded / 'videos/bad.mp4'): NOTE}
    with Target(encoded / 'gallery.db') as target:
        assert look_up(target, find_videos(encoded / 'videos'))[0] == []
        assert target.open().count_records() == 4


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(encoder=ColourEncoder('other')), 'fingerprint is colours, now other'),
        (dict(windowing=Windowing(2.0)), 'window is 3.0, now 2.0'),
        (dict(dtype='float16'), "'float32'}, now .*'float16'}"),
    ],
)
def test_other_settings_are_refused_before_anything_is_encoded(encoded, options, message):
    encoder = options.pop('encoder', ColourEncoder())
    with pytest.raises(ValueError, match=f'gallery.db was made with other settings: .*{message}'):
        encode(encoded / 'videos', encoded / 'gallery.db', encoder, **options)
    assert encoder.batches == []


def test_a_score_without_a_bound_is_refused_before_anything_is_encoded(encoded, tmp_path):
    encoder = ColourEncoder()
    encoder.index_score = None
    with pytest.raises(ValueError, match='needs a score with a certified bound'):
        encode(encoded / 'videos', tmp_path / 'gallery.db', encoder)
    assert encoder.batches == []
    assert not (tmp_path / 'gallery.db').exists()


ENCODE = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
from index_data import ColourEncoder
from ts2net_mm.search import encoding, milvus_client
from ts2net_mm.search.targets import Target
from ts2net_mm.search.windows import Windowing
from ts2net_mm.video.video_files import find_videos

upsert = milvus_client.MilvusConnection.upsert

def kill(self, collection, rows, row_bytes):
    if 'windows' in collection and any('2.mp4' in row['path'] for row in rows):
        upsert(self, collection, rows[:5], row_bytes)
        os.kill(os.getpid(), signal.SIGKILL)
    upsert(self, collection, rows, row_bytes)

encoding.COMMIT_INTERVAL = 0.0
milvus_client.MilvusConnection.upsert = kill
files = find_videos(sys.argv[1])
with Target(sys.argv[2]) as target:
    encoding.encode_into(target, files, ColourEncoder(), windowing=Windowing(3.0), num_workers=1)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_half_and_the_next_one_continues(
    encoded, tmp_path, pytestconfig
):
    """It is killed after five of the nine windows of the last video were written."""
    database, tests = tmp_path / 'gallery.db', str(pytestconfig.rootpath / 'tests')
    command = [sys.executable, '-c', ENCODE, str(encoded / 'videos'), str(database), tests]
    process = subprocess.run(command, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (-signal.SIGKILL, '')
    with opened(database) as index:
        assert index.count() == (2, 2)
        assert all(len(hits) == 2 for hits in search(index))
        assert index.store.connection.count('ts2net_mm_windows') == 2 + 5
    report = encode(encoded / 'videos', database)
    assert (report.num_known, report.num_encoded) == (2, 1)
    with opened(database) as index:
        index.store.check_counts()
        expected = open_index(encoded / 'index')
        assert [[h[0] for h in hits] for hits in search(index)] == [
            [h[0] for h in hits] for hits in search(expected)
        ]


@pytest.fixture
def interrupt(monkeypatch):
    """Function that makes the next writing of windows stop after the first few rows."""

    def interrupt(store, entries, *, after):
        upsert = store.connection.upsert

        def fail(collection, rows, row_bytes):
            if collection.endswith('windows'):
                upsert(collection, rows[:after], row_bytes)
                raise MilvusError('killed')
            upsert(collection, rows, row_bytes)

        with monkeypatch.context() as patch, store.writer() as writer:
            patch.setattr(store.connection, 'upsert', fail)
            with pytest.raises(MilvusError, match='killed'):
                writer.add(entries)

    return interrupt


@pytest.mark.parametrize('after', [0, 3])
def test_half_written_videos_are_not_there(tmp_path, entries, interrupt, after):
    """New ones and replaced ones, of which the frames are new and some windows old."""
    entries = entries[:8]
    address = str(tmp_path / 'gallery.db')
    with MilvusStore.create(address, describe()) as store, store.writer() as writer:
        writer.add(entries)
        longer = make_entry(entries[3].path, seed=1000, num_windows=7)
        new = make_entry('/videos/new.mp4', seed=1001, num_windows=2)
        interrupt(store, [longer, new], after=after)
        left = [entry for entry in entries if entry.path != longer.path]
        with opened(address) as index:
            paths = {entry.path for entry in left}
            assert [{hit[0] for hit in hits} for hits in search(index, topk=20)] == 3 * [paths]
            assert [len(hits) for hits in search(index, topk=3)] == 3 * [3]
            assert index.count() == (7, sum(len(entry.windows) for entry in left))
            assert index.read_video(longer.path) is index.read_video(new.path) is None
            assert set(MilvusView(index).encoded_paths()) == paths
        assert store.find([longer.path, new.path, left[0].path]).keys() == {left[0].path}
        assert store.count_records() == 7
        writer.add([longer, new])
        store.check_counts()
        assert store.count() == (9, sum(len(e.windows) for e in (*left, longer, new)))


def test_hits_that_are_removed_during_a_search_are_left_out(tmp_path, entries, monkeypatch):
    address = str(tmp_path / 'gallery.db')
    with MilvusStore.create(address, describe()) as store, store.writer() as writer:
        writer.add([*entries[:4], VideoEntry('/videos/bad.mp4', note='damaged')])
        with opened(address) as index:
            query = np.ones((1, DIMS))
            best = index.search(query)[0].hits[0].path
            nearest = index.store.nearest

            def remove_after_the_first(*args):
                rows = nearest(*args)
                writer.remove([best])
                return rows

            monkeypatch.setattr(index.store, 'nearest', remove_after_the_first)
            found = index.search(query, num_moments=1)[0]
            assert (found.exact, len(found.hits)) == (True, 3)
            assert best not in [hit.path for hit in found.hits]


def test_processes_that_make_an_index_at_once(tmp_path, entries, monkeypatch):
    """Before each step of one, another makes all of it; an error of the first is no error."""
    address = str(tmp_path / 'gallery.db')
    call, others = MilvusConnection.__call__, []

    def interleave(self, method, *args, **options):
        if method in ('create_collection', 'create_index') and method not in others:
            others.append(method)
            MilvusStore.create(address, describe()).close()
        return call(self, method, *args, **options)

    monkeypatch.setattr('ts2net_mm.search.milvus_creation.PAUSE', 0.0)
    monkeypatch.setattr(MilvusConnection, '__call__', interleave)
    with MilvusStore.create(address, describe()) as store, store.writer() as writer:
        writer.add(entries[:1])
        assert store.count() == (1, 1)
    assert others == ['create_collection', 'create_index']


def test_an_index_whose_creation_was_interrupted_is_finished(tmp_path, monkeypatch):
    address = str(tmp_path / 'gallery.db')
    call = MilvusConnection.__call__

    def stop(self, method, *args, **options):
        if method == 'create_index':
            raise KeyboardInterrupt
        return call(self, method, *args, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MilvusConnection, '__call__', stop)
        MilvusStore.create(address, describe())
    with Target(address) as target:
        assert target.open() is None
        assert target.create(describe()).count_records() == 0
        with pytest.raises(ValueError, match='fingerprint is a model, now another'):
            target.create(describe(fingerprint='another'))
