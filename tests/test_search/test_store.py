"""The store of an index: what is added stays, whatever happens, and damage is found."""

import errno
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from index_data import describe, make_entry, unit

from ts2net_mm.search import DamagedIndexError, Layout, VideoEntry, VideoStore

TESTS = Path(__file__).parents[1]


def add(store, *entries):
    with store.writer() as writer:
        writer.add(entries)


def paths(store):
    return sorted(video.path for video in store.view().encoded_videos())


def the_file(store, name):
    (path,) = store.folder.glob(f'segments/*/{name}')
    return path


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << 5
    path.write_bytes(content)


def test_a_view_holds_what_was_added(store, entries):
    add(store, *entries[:2])
    add(store, entries[2])
    view = store.view()
    assert (view.num_videos, view.num_windows) == (3, 1 + 2 + 3)
    video = view.find('/videos/2.mp4')
    assert (video.path, video.size, video.mtime_ns, video.duration) == ('/videos/2.mp4', 100, 1, 24)
    windows = entries[2].windows
    numbers = view.windows_of(video.number)
    np.testing.assert_array_equal(view.starts[list(numbers)], windows.starts)
    for record, features, mask, seconds in zip(
        view.read_frames(numbers),
        windows.features,
        windows.frame_mask,
        windows.frame_seconds,
        strict=True,
    ):
        frames = record['frames'] * record['norms'][:, None]
        np.testing.assert_allclose(frames, features, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(record['seconds'], seconds)
        assert 1 <= mask.sum() <= len(frames)
    assert view.find('/videos/9.mp4') is None


def test_valid_frames_come_first(store):
    entry = make_entry('a', seed=0, num_windows=1)
    entry.windows.frame_mask[0] = [False, True, False, True]
    add(store, entry)
    view = store.view()
    assert view.summary.num_frames.tolist() == [2]
    np.testing.assert_array_equal(view.read_frames([0])['seconds'][0], [3.0, 9.0, 0.0, 6.0])
    expected = unit(entry.windows.features.astype(np.float64))[0, [1, 3]].mean(axis=0)
    np.testing.assert_allclose(view.segments[0].means[0], expected, atol=1e-6)


def test_the_latest_of_a_path_counts(store):
    first, second = make_entry('a', seed=1), make_entry('a', seed=2, num_windows=3, mtime_ns=7)
    add(store, first, make_entry('b', seed=3))
    old = store.view()
    add(store, second)
    view = store.view()
    assert (view.find('a').mtime_ns, view.num_windows) == (7, 5)
    assert (old.find('a').mtime_ns, old.num_windows) == (1, 4)
    with store.writer() as writer:
        writer.remove(['a', 'unknown'])
    assert store.view().find('a') is None
    assert paths(store) == ['b']
    add(store, first)
    assert paths(store) == ['a', 'b']


def test_a_later_version_counts_though_a_clock_is_late(store, monkeypatch):
    monkeypatch.setattr(time, 'time_ns', lambda: 10**18)
    add(store, make_entry('a', seed=1))
    monkeypatch.setattr(time, 'time_ns', lambda: 10**17)
    add(store, make_entry('a', seed=1, mtime_ns=2))
    assert VideoStore(store.folder).view().find('a').mtime_ns == 2


def test_skipped_videos_are_kept_with_their_reason(store):
    add(store, VideoEntry('a', 5, 6, note='it is damaged: ü'), make_entry('b', seed=1))
    view = store.view()
    (skipped,) = view.skipped_videos()
    assert (skipped.path, skipped.size, skipped.note) == ('a', 5, 'it is damaged: ü')
    assert view.find('a').note == 'it is damaged: ü'
    assert (view.num_videos, view.num_windows) == (1, 2)


def test_names_may_be_any_bytes(store):
    names = ['/a b/ü\n.mp4', os.fsdecode(b'/\xff\xfe.mp4'), '']
    add(store, *(make_entry(name, seed=0) for name in names))
    assert set(paths(VideoStore(store.folder))) == set(names)


def test_the_same_view_if_nothing_changed(store):
    assert len(store.view()) == 0
    add(store, make_entry('a', seed=1))
    assert store.view() is store.view()


def test_writers_take_segments_of_their_own(store):
    with store.writer() as one, store.writer() as two:
        one.add([make_entry('a', seed=1)])
        two.add([make_entry('b', seed=2)])
        one.add([make_entry('c', seed=3)])
    with store.writer() as writer:
        writer.add([make_entry('d', seed=4)])
    assert len(store.view().segments) == 2
    assert paths(store) == ['a', 'b', 'c', 'd']


@pytest.mark.parametrize('kind', ['nan', 'shape', 'no frame', 'no window'])
def test_wrong_features_add_nothing(store, kind):
    bad = make_entry('bad', seed=1)
    if kind == 'nan':
        bad.windows.features[0, 1, 2] = np.nan
    elif kind == 'no frame':
        bad.windows.frame_mask[1] = False
    else:
        features = bad.windows.features
        shape = features[:, :3] if kind == 'shape' else features[:0]
        object.__setattr__(bad.windows, 'features', shape)
    with store.writer() as writer:
        with pytest.raises(ValueError, match='bad'):
            writer.add([make_entry('a', seed=2), bad])
        writer.add([make_entry('b', seed=3)])
    assert paths(VideoStore(store.folder)) == ['b']


def test_another_model_is_refused(store):
    assert VideoStore.create(store.folder, describe(model='renamed')).description.model == ''
    with pytest.raises(ValueError, match='fingerprint is a model, now other'):
        VideoStore.create(store.folder, describe(fingerprint='other'))
    with pytest.raises(ValueError, match='layout is .* now .*float16'):
        VideoStore.create(store.folder, describe(layout=Layout(4, 16, 'float16')))


def test_folders_that_are_no_index(tmp_path):
    with pytest.raises(FileNotFoundError, match='is no index'):
        VideoStore(tmp_path)
    for content in ('{', '[]', '{"format": "other"}', '{"format": "ts2net_mm index 1"}'):
        (tmp_path / 'index.json').write_text(content)
        with pytest.raises(ValueError, match=r'index\.json is no description of an index'):
            VideoStore(tmp_path)


@pytest.mark.parametrize('name', ['videos', 'windows', 'names'])
def test_a_flipped_bit_in_a_table_hides_what_follows(store, name, caplog):
    for number in range(6):
        add(store, make_entry(f'{number}', seed=number))
    path = the_file(store, name)
    flip(path, path.stat().st_size // 2)
    opened = VideoStore(store.folder)
    assert paths(opened) == ['0', '1', '2']
    assert '3 of its commits are ignored' in caplog.text
    # what follows goes to another segment, and can be read
    add(opened, make_entry('new', seed=9))
    assert paths(VideoStore(store.folder)) == ['0', '1', '2', 'new']


def test_a_later_commit_makes_up_for_a_damaged_one(store):
    for number in range(6):
        add(store, make_entry(f'{number}', seed=number))
    path = the_file(store, 'commits')
    flip(path, path.stat().st_size // 2)
    assert paths(VideoStore(store.folder)) == ['0', '1', '2', '3', '4', '5']
    flip(path, path.stat().st_size - 1)
    assert paths(VideoStore(store.folder)) == ['0', '1', '2']


@pytest.mark.parametrize('name', ['videos', 'windows', 'names', 'commits', 'means', 'frames'])
def test_truncated_files_hide_what_they_lack(store, name):
    for number in range(6):
        add(store, make_entry(f'{number}', seed=number))
    path = the_file(store, name)
    os.truncate(path, path.stat().st_size * 2 // 3 - 1)
    assert paths(VideoStore(store.folder)) == ['0', '1', '2']
    add(VideoStore(store.folder), make_entry('new', seed=9))
    assert paths(VideoStore(store.folder))[-1] == 'new'


@pytest.mark.parametrize('name', ['means', 'frames'])
def test_damaged_features_are_found_and_can_be_replaced(store, name, caplog):
    add(store, *(make_entry(f'{number}', seed=number) for number in range(4)))
    path = the_file(store, name)
    flip(path, path.stat().st_size * 3 // 8)  # of video 1
    opened = VideoStore(store.folder)
    assert opened.damaged_videos() == ['1']
    if name == 'frames':
        with pytest.raises(DamagedIndexError, match='frames of 1 are not what was written'):
            opened.view().read_frames(range(8))
    add(opened, make_entry('1', seed=1))
    assert opened.damaged_videos() == []
    assert paths(opened) == ['0', '1', '2', '3']
    opened.compact()
    assert opened.damaged_videos() == []
    assert paths(opened) == ['0', '1', '2', '3']


def test_compaction_drops_damaged_videos_alone(store, caplog):
    add(store, *(make_entry(f'{number}', seed=number) for number in range(4)))
    with store.writer() as writer:
        writer.remove(['0'])
    path = the_file(store, 'frames')
    flip(path, path.stat().st_size * 3 // 8)
    store.compact()
    assert paths(store) == ['2', '3']
    assert 'a video is dropped' in caplog.text


def test_compaction_keeps_what_counts(store, entries):
    for first in range(0, 60, 20):
        with store.writer() as one, store.writer() as two:  # two segments
            one.add(entries[first : first + 10])
            two.add(entries[first + 10 : first + 20])
    with store.writer() as writer:
        writer.remove(entry.path for entry in entries[::2])
        writer.add([VideoEntry('bad', note='damaged'), make_entry('/videos/1.mp4', seed=99)])
    reader = VideoStore(store.folder)
    old = reader.view()
    frames = old.read_frames(range(len(old)))
    saved = store.compact()
    assert saved > 0
    assert len(list(store.folder.glob('segments/*'))) == 1
    view = reader.view()
    assert len(view) == view.num_windows == old.num_windows
    for video in view.encoded_videos():
        before = old.find(video.path)
        np.testing.assert_array_equal(
            view.read_frames(view.windows_of(video.number)),
            old.read_frames(old.windows_of(before.number)),
        )
    assert [video.note for video in view.skipped_videos()] == ['damaged']
    # the files are gone, and whoever has them open still reads them
    np.testing.assert_array_equal(old.read_frames(range(len(old))), frames)
    assert store.compact() == 0


def test_compaction_leaves_the_segments_of_writers(store):
    add(store, make_entry('a', seed=1), make_entry('b', seed=2))
    with store.writer() as first, store.writer() as second:
        second.add([make_entry('c', seed=3)])
        second.remove(['a'])
        second._segment.close()
        store.compact()  # the segment of ``second`` alone
        first.add([make_entry('d', seed=4)])
        assert paths(VideoStore(store.folder)) == ['b', 'c', 'd']
    store.compact()
    assert paths(VideoStore(store.folder)) == ['b', 'c', 'd']


def test_a_crash_in_compaction_loses_nothing(store, monkeypatch):
    add(store, make_entry('a', seed=1), make_entry('b', seed=2), make_entry('a', seed=3))
    for target in ('pathlib.Path.rename', 'shutil.rmtree'):
        with monkeypatch.context() as patch:
            patch.setattr(target, lambda *args, **options: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                store.compact()
        assert paths(VideoStore(store.folder)) == ['a', 'b']
        add(store, make_entry('a', seed=4))
    store.compact()
    assert paths(store) == ['a', 'b']
    assert len(list(store.folder.glob('segments/*'))) == 1


def test_a_full_disk_adds_nothing_and_says_so(store, monkeypatch):
    """The limit on the size of a file fails writes as a full disk does, in their middle."""
    code = f"""
import resource, signal
from index_data import make_entry
from ts2net_mm.search import VideoStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = VideoStore({str(store.folder)!r})
with store.writer() as writer:
    writer.add([make_entry('a', seed=1)])
    size = max(p.stat().st_size for p in store.folder.glob('segments/*/*'))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, resource.RLIM_INFINITY))
    try:
        writer.add([make_entry('b', seed=2, num_windows=40)])
    except OSError as error:
        print(error.errno)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    writer.add([make_entry('c', seed=3)])
"""
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=TESTS, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == errno.EFBIG
    assert paths(store) == ['a', 'c']
    assert store.damaged_videos() == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


WRITING = """
import sys
from index_data import make_entry
from ts2net_mm.search import VideoStore
store, first = VideoStore(sys.argv[1]), int(sys.argv[2])
with store.writer() as writer:
    print('begun', flush=True)
    for number in range(first, first + 100_000):
        writer.add([make_entry(str(number), seed=number, num_windows=1 + number % 3)])
        print(number, flush=True)
"""


def write_and_kill(store, first, seconds):
    """Return the number of the last video that was finished before SIGKILL."""
    process = subprocess.Popen(
        [sys.executable, '-c', WRITING, str(store.folder), str(first)],
        cwd=TESTS,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == 'begun\n'
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    numbers = re.findall(r'(\d+)\n', process.communicate()[0])
    return int(numbers[-1]) if numbers else first - 1


def check_finished(store, last):
    """All videos up to the last are there and whole, and at most one that was just committed."""
    found = sorted(int(path) for path in paths(store))
    assert found in (list(range(last + 1)), list(range(last + 2)))
    assert store.damaged_videos() == []
    view = store.view()
    for number in np.random.default_rng(last).choice(found, 5):
        entry = make_entry(str(number), seed=number, num_windows=1 + number % 3)
        video = view.find(str(number))
        frames = view.read_frames(view.windows_of(video.number))
        features = frames['frames'] * frames['norms'][..., None]
        np.testing.assert_allclose(features, entry.windows.features, atol=1e-5)
    return len(found)


@pytest.mark.slow
def test_kill_9_at_random_moments_keeps_what_was_finished(store):
    rng = np.random.default_rng(0)
    first = 0
    for _ in range(30):
        last = write_and_kill(store, first, rng.uniform(0, 0.3))
        first = check_finished(VideoStore(store.folder), last)
    assert len(list(store.folder.glob('segments/*'))) == 1


@pytest.mark.parametrize('name', ['videos', 'windows', 'names', 'means', 'frames', 'commits'])
def test_torn_ends_are_removed(store, name):
    """What a crash leaves after the last commit is ignored, and overwritten by the next writer."""
    add(store, make_entry('a', seed=1))
    with the_file(store, name).open('ab') as file:
        file.write(b'\x5a' * 33)
    assert paths(VideoStore(store.folder)) == ['a']
    add(VideoStore(store.folder), make_entry('b', seed=2))
    assert paths(VideoStore(store.folder)) == ['a', 'b']
    assert store.damaged_videos() == []
    assert len(list(store.folder.glob('segments/*'))) == 1


@pytest.mark.slow
def test_two_processes_read_while_one_writes(store):
    reading = f"""
import sys
from index_data import make_entry
from ts2net_mm.search import VideoStore
store, seen = VideoStore({str(store.folder)!r}), 0
while seen < 200:
    view = store.view()
    found = sorted(int(video.path) for video in view.encoded_videos())
    assert found == list(range(len(found))) and len(found) >= seen, found
    if len(found) > seen:
        view.read_frames(range(len(view)))
    seen = len(found)
"""
    readers = [subprocess.Popen([sys.executable, '-c', reading], cwd=TESTS) for _ in range(2)]
    with store.writer() as writer:
        for number in range(200):
            writer.add([make_entry(str(number), seed=number)])
    assert [reader.wait(timeout=60) for reader in readers] == [0, 0]
