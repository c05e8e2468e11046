"""An index in Milvus Lite, against scores by the definition and the index in a folder."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest
from index_data import DIMS, FRAMES, describe, make_entry, ranking, unit

pytest.importorskip('pymilvus', reason='pymilvus is not installed')
pytest.importorskip('milvus_lite', reason='milvus-lite is not installed')

from ts2net_mm.search import (
    DamagedIndexError,
    Layout,
    MilvusError,
    MilvusIndex,
    MilvusStore,
    VideoEntry,
    VideoFilter,
    VideoIndex,
    VideoStore,
    WindowFeatures,
    copy_index,
    milvus_client,
    milvus_index,
    open_index,
)
from ts2net_mm.search.milvus_rows import BANDS, escape, may_reach, unescape


@pytest.fixture
def milvus(tmp_path):
    with MilvusStore.create(tmp_path / 'gallery.db', describe()) as store:
        yield store


@pytest.fixture
def queries():
    return np.random.default_rng(0).standard_normal((7, DIMS))


FORK = """
import subprocess, sys, threading
from ts2net_mm.search import open_index
from ts2net_mm.utils.workers import die_with_parent, map_in_workers

index = open_index(sys.argv[1])

def count():
    while not done.is_set():
        index.count()

def run_program(number):
    return subprocess.run(['true'], preexec_fn=die_with_parent).returncode

done = threading.Event()
thread = threading.Thread(target=count)
thread.start()
print({code for _, code in map_in_workers(run_program, range(150), num_workers=2)})
done.set()
thread.join()
"""


@pytest.mark.slow
def test_programs_of_forked_workers_run_beside_milvus(tmp_path):
    MilvusStore.create(tmp_path / 'gallery.db', describe()).close()
    environment = {name: value for name, value in os.environ.items() if name[:5] != 'GRPC_'}
    command = [sys.executable, '-c', FORK, str(tmp_path / 'gallery.db')]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ('{0}\n', '')


def fill(store, entries):
    with store.writer() as writer:
        writer.add(entries)


@contextmanager
def opened(store):
    index = open_index(store.address)
    yield index
    index.close()


def check(index, entries, queries, topk, **options):
    for query, result in zip(queries, index.search(queries, topk=topk, **options), strict=True):
        expected = ranking(entries, query)[:topk]
        assert (result.exact, result.certificate) == (True, 'exact')
        assert [hit.path for hit in result.hits] == [path for path, _ in expected]
        scores = [hit.score for hit in result.hits]
        np.testing.assert_allclose(scores, [score for _, score in expected], atol=1e-6)


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    """The same videos in a folder and in Milvus, with paths that are hard to quote."""
    folder = tmp_path_factory.mktemp('both')
    names = ['/a/1', '/a/b/2', '/ab/3', '/a%/4', '/a/b', '/a"/5', '/a\\/6', '/{p}/7', '/a\n/8']
    names += ['/\udc80/9', '/猫/10', "/'/11", '/a%25/12', '/a" or key != "/13']
    entries = [
        replace(
            make_entry(name, seed=n, num_windows=1 + n, mtime_ns=n * 10**9 + 1),
            duration=math.nan if n == 3 else 5.0 * n,
        )
        for n, name in enumerate(names)
    ]
    fill(VideoStore.create(folder / 'index', describe()), entries)
    with MilvusStore.create(folder / 'gallery.db', describe()) as store:
        fill(store, entries)
        with opened(store) as index:
            yield VideoIndex(folder / 'index'), index


@pytest.mark.parametrize('topk', [1, 10, 100])
def test_hits_are_those_of_all_scores(milvus, entries, queries, topk):
    fill(milvus, entries)
    with opened(milvus) as index:
        check(index, entries, queries, topk)


@pytest.mark.parametrize(
    'filters',
    [
        dict(),
        *(dict(folder=f'/{name}') for name in ('', 'a', 'a/', 'a%', 'a"', 'a\\', '{p}', 'a\n')),
        *(dict(folder=f'/{name}') for name in ('\udc80', '猫', "'", 'a%25', 'a" or key != "', 'x')),
        dict(folder='" or path != "'),
        dict(min_duration=10),
        dict(max_duration=1e-7),
        dict(folder='/a', min_duration=4, max_duration=21),
        dict(changed_after=datetime.fromtimestamp(2, timezone.utc)),
        dict(changed_before=datetime.fromtimestamp(2, timezone.utc)),
    ],
)
def test_filters_and_moments_are_those_of_an_index_in_a_folder(both, queries, filters):
    expected, found = (
        index.search(queries[:2], filters=VideoFilter(**filters), topk=20) for index in both
    )
    for one, other in zip(expected, found, strict=True):
        assert other.exact
        assert [hit.path for hit in other.hits] == [hit.path for hit in one.hits]
        for hit, same in zip(other.hits, one.hits, strict=True):
            assert hit.duration == same.duration
            assert [(m.start, m.end, m.best_seconds) for m in hit.moments] == [
                (m.start, m.end, m.best_seconds) for m in same.moments
            ]
            for moment, other_moment in zip(hit.moments, same.moments, strict=True):
                np.testing.assert_allclose(moment.frame_scores, other_moment.frame_scores)


@pytest.fixture
def small_requests(monkeypatch):
    """Requests for few windows, and a list of the conditions that are asked for."""
    conditions = []
    nearest = MilvusStore.nearest

    def note(store, queries, condition, limit):
        conditions.append(condition)
        return nearest(store, queries, condition, limit)

    monkeypatch.setattr(milvus_index, 'FIRST_LIMIT', 16)
    monkeypatch.setattr(milvus_index, 'GROWTH', 2)
    monkeypatch.setattr(MilvusStore, 'nearest', note)
    return conditions


def entry_of(path, frames):
    """A video of one window."""
    windows = WindowFeatures(
        starts=np.zeros(1),
        ends=np.ones(1),
        features=np.array([frames], np.float32),
        frame_mask=np.ones((1, FRAMES), bool),
        frame_seconds=np.zeros((1, FRAMES)),
    )
    return VideoEntry(path, 1, 1, 1.0, windows)


@pytest.fixture
def misleading():
    """A query, and videos of which the best has by far the smallest product."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((DIMS, DIMS)))[0]
    entries = [entry_of('best', axes[:FRAMES])]
    for number in range(100):
        frame = (0.5 - 0.002 * number) * axes[0] + 0.8 * unit(
            axes[FRAMES:].T @ rng.standard_normal(DIMS - FRAMES)
        )
        entries.append(entry_of(f'{number}', np.tile(frame, (FRAMES, 1))))
    return axes[:1], entries


def test_more_is_fetched_until_the_best_is_certain(milvus, misleading, small_requests):
    query, entries = misleading
    fill(milvus, entries)
    with opened(milvus) as index:
        check(index, entries, query, 1)
        assert any('excess' in condition for condition in small_requests)
        check(index, entries, query, 3)


def test_a_search_that_cannot_see_enough_does_not_claim_to_be_exact(
    milvus, misleading, small_requests, monkeypatch
):
    query, entries = misleading
    fill(milvus, entries)
    monkeypatch.setattr(milvus_index, 'LARGEST_LIMIT', 16)
    with opened(milvus) as index:
        result = index.search(query, topk=1)[0]
        assert not result.exact
        assert result.certificate.startswith('not certain')
        assert result.hits[0].path != 'best'


def test_many_loose_windows_in_small_requests(milvus, queries, small_requests):
    entries = [make_entry(f'{n}', seed=n, num_windows=3, spread=1.5) for n in range(200)]
    fill(milvus, entries)
    with opened(milvus) as index:
        check(index, entries, queries, 5)


@pytest.mark.parametrize('threshold', [-0.5, 0.0, 0.2, 0.9])
@pytest.mark.parametrize('product', [-0.3, 0.0, 0.04, 0.05, 0.33, 0.7])
def test_what_may_reach_a_score_covers_each_band(threshold, product):
    """The expression as Python reads it, with the least excess that reaches the score."""
    condition = may_reach(threshold, product) or 'True'
    for number, low in enumerate(BANDS):
        names = {f'excess_{round(100 * band):02}': 0.0 for band in BANDS}
        high = BANDS[number + 1] if number + 1 < len(BANDS) else 1.0
        largest = min(product, high)
        if largest < low and number:
            continue
        names[f'excess_{round(100 * low):02}'] = max(threshold - largest, 0.0)
        assert eval(condition, names)


def test_replaced_and_removed_videos_are_not_found(milvus, entries, queries):
    fill(milvus, entries)
    shorter = make_entry(entries[3].path, seed=1000, num_windows=1)
    longer = make_entry(entries[0].path, seed=1001, num_windows=9)
    with milvus.writer() as writer:
        writer.remove(entry.path for entry in entries[10:40])
        writer.add([shorter, longer, VideoEntry(entries[1].path, note='unreadable')])
        writer.remove(['/not/there'])
    left = [longer, entries[2], shorter, *entries[4:10], *entries[40:]]
    milvus.check_counts()
    with opened(milvus) as index:
        assert index.count() == (len(left), sum(len(entry.windows) for entry in left))
        assert len(index.read_video(longer.path).table) == 9
        assert index.read_video(entries[1].path) is index.read_video('/not/there') is None
        check(index, left, queries, 100)


def test_what_an_interrupted_writer_left_is_replaced(milvus, entries, queries, monkeypatch):
    fill(milvus, entries[:5])
    upsert = milvus.connection.upsert

    def fail(collection, rows, row_bytes):
        upsert(collection, rows[: len(rows) // 2] if 'windows' in collection else rows, row_bytes)
        if 'windows' in collection:
            raise MilvusError('killed')

    longer = make_entry(entries[0].path, seed=1000, num_windows=20)
    with monkeypatch.context() as patch:
        patch.setattr(milvus.connection, 'upsert', fail)
        with pytest.raises(MilvusError, match='killed'):
            fill(milvus, [longer])
    assert longer.path not in milvus.paths()
    with pytest.raises(KeyError):
        milvus.read(longer.path)
    fill(milvus, entries[:5])
    milvus.check_counts()
    assert milvus.count() == (5, sum(len(entry.windows) for entry in entries[:5]))
    with opened(milvus) as index:
        check(index, entries[:5], queries, 10)


def test_a_search_begins_again_when_a_video_is_replaced(milvus, entries, queries, monkeypatch):
    fill(milvus, entries)
    monkeypatch.setattr(milvus_index, 'PAUSE', 0.0)
    new = [make_entry(entry.path, seed=2000 + n) for n, entry in enumerate(entries)]
    with opened(milvus) as index:
        nearest, asked = index.store.nearest, []

        def replace_after_the_first(*args):
            rows = nearest(*args)
            if not asked:
                fill(milvus, new)
            asked.append(args)
            return rows

        monkeypatch.setattr(index.store, 'nearest', replace_after_the_first)
        check(index, new, queries[:1], 10)
        assert len(asked) > 1


def test_damaged_frames_are_an_error(milvus, entries, queries, monkeypatch):
    fill(milvus, entries[:1])
    monkeypatch.setattr(milvus_index, 'PAUSE', 0.0)
    name = milvus._names['frames']
    rows = list(milvus.connection.rows(name, '', ['record', 'no_vector']))
    for row in rows:
        row['record'] = row['record'][:-8] + 'AAAAAAA='
    milvus.connection.upsert(name, rows, 1000)
    with opened(milvus) as index, pytest.raises(DamagedIndexError, match='frames of /videos/0.mp4'):
        index.search(queries[:1])
    with pytest.raises(DamagedIndexError, match='/videos/0.mp4'):
        milvus.read(entries[0].path)
    milvus.connection.delete(name, [row['key'] for row in rows[:1]])
    with pytest.raises(DamagedIndexError, match='expected 1'):
        milvus.check_counts()


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_frames_that_need_several_rows(tmp_path, dtype):
    layout = Layout(num_frames=16, dims=2048, dtype=dtype)
    rng = np.random.default_rng(0)
    windows = WindowFeatures(
        starts=np.zeros(2),
        ends=np.ones(2),
        features=rng.standard_normal((2, 16, 2048)).astype(np.float32),
        frame_mask=np.arange(16) < np.array([[16], [12]]),
        frame_seconds=np.full((2, 16), np.nan),
    )
    entry, query = VideoEntry('wide', 1, 1, 1.0, windows), rng.standard_normal(2048)
    with MilvusStore.create(tmp_path / 'gallery.db', describe(layout=layout)) as store:
        fill(store, [entry])
        assert store.count() == (1, 2)
        with opened(store) as index:
            result = index.search(query[None])[0]
            expected = ranking([entry], query, dtype)
            assert result.hits[0].score == pytest.approx(expected[0][1], abs=1e-6)
            assert result.hits[0].moments[0].best_seconds is None


def test_the_mean_pooled_score(tmp_path, entries, queries, small_requests):
    settings = dict(type='mean_pooled')
    folder = VideoStore.create(tmp_path / 'index', describe(score=settings))
    fill(folder, entries)
    with MilvusStore.create(tmp_path / 'gallery.db', describe(score=settings)) as store:
        fill(store, entries)
        with opened(store) as index:
            results = index.search(queries, topk=5)
    for one, other in zip(VideoIndex(folder.folder).search(queries, topk=5), results, strict=True):
        assert other.exact
        assert [hit.path for hit in other.hits] == [hit.path for hit in one.hits]


@pytest.mark.parametrize('text', ['a"b\\c%{x}\n', '\udc80é猫', '%41', '/v/%%2F\x00', "'", ''])
def test_escaped_texts_come_back(text):
    assert unescape(escape(text)) == text
    escape(text).encode()
    assert not set('"\'\\{}\n\x00') & set(escape(text))


def test_several_indices_in_a_database(tmp_path, entries, queries):
    for name, part in (('one', entries[:5]), ('two', entries[5:])):
        with MilvusStore.create(tmp_path / f'gallery.db#{name}', describe()) as store:
            fill(store, part)
            with opened(store) as index:
                check(index, part, queries[:1], 10)
    with pytest.raises(ValueError, match="the name 'a b' in"):
        open_index(tmp_path / 'gallery.db#a b')


def test_copies_are_whole_and_are_made_once(tmp_path, entries, queries):
    folder, database, back = (tmp_path / name for name in ('index', 'gallery.db', 'back'))
    store = VideoStore.create(folder, describe())
    skipped = VideoEntry('/\udc80"{x}', size=7, mtime_ns=3, duration=0.5, note='no "video"\n\\')
    fill(store, [*entries, skipped])
    number = len(entries) + 1

    left = iter(range(2))

    def stop(step, total):
        assert (step <= 16, total) == (True, number)
        if next(left, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_index(folder, database, on_progress=stop)
    report = copy_index(folder, database)
    assert (report.num_copied + report.num_present, report.damaged) == (number, {})
    assert 0 < report.num_present < number
    windows = sum(len(entry.windows) for entry in entries)
    assert (report.num_videos, report.num_windows) == (len(entries), windows)
    assert copy_index(folder, database).num_copied == 0
    assert copy_index(database, back).num_copied == number
    assert copy_index(database, back).num_copied == 0
    old, new = store.view(), VideoStore(back).view()
    for video in [*old.encoded_videos(), *old.skipped_videos()]:
        same = new.find(video.path)
        assert same == replace(video, number=same.number)
        one, other = old.read_video(video.number), new.read_video(same.number)
        for name in ('means', 'frames'):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        for name in set(one.table.dtype.names) - {'video'}:
            np.testing.assert_array_equal(one.table[name], other.table[name])
    fill(store, [make_entry(entries[0].path, seed=1000)])
    with store.writer() as writer:
        writer.remove([entries[1].path])
    report = copy_index(folder, database)
    assert (report.num_copied, report.num_others) == (1, 1)


COPY = """
import os, signal, sys
from ts2net_mm.search import copy_index
steps = iter(range(2))
def kill(*_):
    if next(steps, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
copy_index(sys.argv[1], sys.argv[2], on_progress=kill)
"""


@pytest.mark.slow
def test_a_copy_that_is_killed_is_finished_by_the_next_one(tmp_path, entries, queries):
    store = VideoStore.create(tmp_path / 'index', describe())
    fill(store, entries)
    command = [sys.executable, '-c', COPY, str(store.folder), str(tmp_path / 'gallery.db')]
    process = subprocess.run(command, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (-signal.SIGKILL, '')
    report = copy_index(store.folder, tmp_path / 'gallery.db')
    assert report.num_present >= 32
    assert report.num_videos == len(entries)
    with MilvusStore(tmp_path / 'gallery.db') as milvus, opened(milvus) as index:
        check(index, entries, queries, 10)


def test_damaged_videos_are_named_and_not_copied(tmp_path, entries):
    store = VideoStore.create(tmp_path / 'index', describe())
    fill(store, entries[:3])
    (path,) = store.folder.glob('segments/*/frames')
    frames = np.memmap(path, np.uint8, 'r+')
    frames[0] ^= 1
    frames.flush()
    report = copy_index(store.folder, tmp_path / 'gallery.db')
    assert (report.num_copied, list(report.damaged)) == (2, ['/videos/0.mp4'])


@contextmanager
def server(folder):
    """A server of Milvus Lite in a process of its own; yields its address."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    command = [sys.executable, '-c', 'from milvus_lite.cmdline import main; main()', 'server']
    options = ['--data-dir', str(folder), '--host', '127.0.0.1', '--port', str(port)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(('127.0.0.1', port)) == 0:
                    break
            time.sleep(0.1)
        yield f'http://127.0.0.1:{port}'
    finally:
        process.kill()
        process.wait()


ADD = """
import sys
sys.path.insert(0, sys.argv[2])
from index_data import make_entry
from ts2net_mm.search import MilvusStore
with MilvusStore(sys.argv[1]) as store, store.writer() as writer:
    writer.add([make_entry(f'/new/{n}', seed=500 + n) for n in range(20)])
"""


@pytest.mark.slow
def test_a_server_that_two_processes_use(tmp_path, entries, queries, pytestconfig):
    with server(tmp_path / 'data.db') as address:
        with MilvusStore.create(address, describe()) as store, opened(store) as index:
            fill(store, entries)
            check(index, entries, queries, 10)
            tests = str(pytestconfig.rootpath / 'tests')
            subprocess.run([sys.executable, '-c', ADD, address, tests], check=True)
            new = [make_entry(f'/new/{n}', seed=500 + n) for n in range(20)]
            check(index, [*entries, *new], queries, 10)
        with pytest.raises(MilvusError, match='is open in another process.*milvus-lite server'):
            open_index(tmp_path / 'data.db')
        with MilvusStore.create(f'{address}#fast', describe(), index_type='HNSW') as store:
            fill(store, entries)
            with opened(store) as index:
                result = index.search(queries[:1], topk=3)[0]
                assert not result.exact
                assert result.certificate == "exact as far as the index's recall"
    with pytest.raises(MilvusError, match=f'{address}.* unavailable'):
        open_index(address)


def test_errors_of_opening(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r'nothing.db does not exist'):
        open_index(tmp_path / 'nothing.db')
    assert not (tmp_path / 'nothing.db').exists()
    (tmp_path / 'file.db').write_text('SQLite format 3')
    with pytest.raises(MilvusError, match='is not of Milvus Lite 3: it is a file'):
        open_index(tmp_path / 'file.db')
    with pytest.raises(MilvusError, match='within 1 seconds'):
        MilvusIndex('http://127.0.0.1:1', timeout=1)
    with pytest.raises(ValueError, match='Milvus Lite loses rows'):
        MilvusStore.create(tmp_path / 'a.db', describe(), index_type='HNSW')
    with pytest.raises(ValueError, match='certified bound'):
        MilvusStore.create(tmp_path / 'a.db', describe(score=None))
    monkeypatch.setitem(sys.modules, 'pymilvus', None)
    with pytest.raises(ValueError, match=r"pip install 'ts2net-mm\[milvus\]'"):
        MilvusStore.create(tmp_path / 'a.db', describe())


def test_errors_of_collections_that_do_not_fit(tmp_path, milvus, entries):
    fill(milvus, entries[:1])
    with pytest.raises(ValueError, match='fingerprint is a model, now another'):
        MilvusStore.create(milvus.address, describe(fingerprint='another'))
    with pytest.raises(FileNotFoundError, match='no collection other_windows, but ts2net_mm_'):
        open_index(f'{milvus.address}#other')
    name, rows = milvus._names['windows'], []
    for row in milvus.connection.rows(name, '', ['*']):
        rows.append(row | dict(model='%22another'))
    milvus.connection.upsert(name, rows, 1000)
    with pytest.raises(ValueError, match='windows of another model: the fingerprint is "another'):
        open_index(milvus.address)
    other = describe(layout=replace(describe().layout, dims=8))
    videos = milvus._names['videos']
    (row,) = milvus.connection.get(videos, ['#index'], ['*']).values()
    row['note'] = escape(other.to_json())
    milvus.connection.upsert(videos, [row], 1000)
    with pytest.raises(ValueError, match='vectors of 16 channels, expected 8'):
        open_index(milvus.address)
    milvus.connection.delete(videos, ['#index'])
    with pytest.raises(FileNotFoundError, match='its creation was interrupted'):
        open_index(milvus.address)


def test_wrong_features_add_nothing(milvus, entries):
    entries[1].windows.features[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match='not finite'):
        fill(milvus, entries[:2])
    assert milvus.count() == (0, 0)


def test_the_file_is_free_after_the_last_connection(milvus, entries):
    fill(milvus, entries[:2])
    with opened(milvus) as index:
        milvus.close()
        assert index.search(np.ones((1, DIMS)))[0].hits
        with pytest.raises(MilvusError, match='is closed'):
            milvus.count()
    code = (
        f'from ts2net_mm.search import MilvusStore; print(MilvusStore({milvus.address!r}).count())'
    )
    found = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == '(2, 3)'
    assert milvus_client._users[milvus.connection.place] == 0
