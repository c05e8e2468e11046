"""Decoding in a helper process: the same frames, and hangs and crashes end only the helper."""

import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from torch.utils.data import DataLoader

from ts2net_mm.video import DecoderStartError, GuardedVideoReader, guarded_reader
from ts2net_mm.video.errors import DecoderEndedError
from ts2net_mm.video.frame_memory import KEPT_BYTES, FrameMemory

DECODE = (dict(type='SampleFramesByRate', num_frames=3), dict(type='DecordDecode'))
# a decoder in a C call that holds Python's lock and ignores all signals that can be ignored
HANGING = """
import ctypes, signal, sys
from multiprocessing.connection import Connection
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
connection = Connection(int(sys.argv[1]))
connection.send('ready')
connection.recv()
while True:
    ctypes.PyDLL(None).sleep(1000)
"""


@pytest.fixture(autouse=True)
def _fresh_helper():
    """Let each test start its own helper."""
    if helper := getattr(guarded_reader._local, 'helper', None):
        helper.end()
    yield
    if helper := getattr(guarded_reader._local, 'helper', None):
        helper.end()


def helper_pid() -> int:
    return guarded_reader._local.helper.process.pid


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f'/proc/{pid}/stat').read_text().split()[2] == 'Z'


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while not is_gone(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_gone(pid)


@pytest.mark.parametrize('mode', ['accurate', 'efficient'])
def test_items_equal_those_of_decord_init(write_video, make_dataset, mode):
    for number in range(3):
        write_video(f'{number}.mp4', num_frames=12 * (number + 1))
    annotation = {f'{number}.mp4': ['x'] for number in range(3)}
    decode = (DECODE[0], dict(type='DecordDecode', mode=mode))
    ours = make_dataset(annotation, (dict(type='GuardedDecordInit', timeout=30), *decode))
    theirs = make_dataset(annotation, (dict(type='DecordInit'), *decode))
    for index in (0, 2, 1):
        for key in ('imgs', 'frame_inds', 'total_frames', 'avg_fps', 'img_shape'):
            np.testing.assert_array_equal(ours[index][key], theirs[index][key])


def test_two_videos_in_turns(write_video):
    one = GuardedVideoReader(str(write_video('a.mp4')))
    two = GuardedVideoReader(str(write_video('b.mp4', num_frames=6)))
    assert (len(one), len(two)) == (24, 6)
    last, first = one.get_batch([23]).asnumpy(), two.get_batch([0]).asnumpy()
    one.get_batch([0])  # does not overwrite frames that were read before
    assert last.mean() == pytest.approx(102, abs=4)
    assert first.mean() == pytest.approx(10, abs=4)


def test_relative_paths_are_those_of_the_worker(write_video, tmp_path, monkeypatch):
    """Though the helper was started in another folder."""
    path = write_video('a.mp4')
    len(GuardedVideoReader(str(path)))
    monkeypatch.chdir(path.parent)
    assert len(GuardedVideoReader('a.mp4')) == 24


def test_errors_of_decord_are_passed_on(write_video, videos):
    (videos / 'text.mp4').write_text('no video')
    with pytest.raises(RuntimeError, match='Error reading'):
        GuardedVideoReader(str(videos / 'text.mp4'), decoder='decord')
    with pytest.raises(FileNotFoundError, match=r'none\.mp4'):
        GuardedVideoReader(str(videos / 'none.mp4'))
    reader = GuardedVideoReader(str(write_video('a.mp4')))
    pid = helper_pid()
    with pytest.raises(IndexError):
        reader.get_batch([24])
    assert reader.get_batch([23]).asnumpy().shape == (1, 48, 64, 3)
    assert helper_pid() == pid


def test_a_file_that_never_answers(write_video, videos):
    """Opening a named pipe waits for a writer for ever."""
    os.mkfifo(videos / 'hang.mp4')
    good = GuardedVideoReader(str(write_video('a.mp4')))
    pid = helper_pid()
    start = time.monotonic()
    with pytest.raises(DecoderEndedError, match=r'no answer within 0\.5 seconds'):
        GuardedVideoReader(str(videos / 'hang.mp4'), timeout=0.5)
    assert time.monotonic() - start < 5
    assert is_gone(pid)
    assert len(good.get_batch([0, 1]).asnumpy()) == 2
    assert helper_pid() != pid


def test_a_c_call_that_ignores_signals(write_video, tmp_path, monkeypatch):
    (tmp_path / 'hanging.py').write_text(HANGING)
    monkeypatch.setattr(guarded_reader, 'PROGRAM', tmp_path / 'hanging.py')
    pid = guarded_reader._helper().process.pid
    threading.Timer(0.5, os.kill, (pid, signal.SIGTERM)).start()
    with pytest.raises(DecoderEndedError, match='no answer within 1 seconds'):
        GuardedVideoReader(str(write_video('a.mp4')), timeout=1)
    assert is_gone(pid)


def test_a_crash(write_video):
    path = str(write_video('a.mp4'))
    pid = guarded_reader._helper().process.pid
    os.kill(pid, signal.SIGSTOP)  # so that it crashes while we wait
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(DecoderEndedError, match='the decoder crashed on it'):
        GuardedVideoReader(path, timeout=20)
    assert len(GuardedVideoReader(path)) == 24


def test_an_answer_that_was_not_awaited(write_video, monkeypatch):
    """After Ctrl-C in a call, the next one gets its own answer."""
    first, second = write_video('a.mp4', num_frames=5), write_video('b.mp4', num_frames=9)
    GuardedVideoReader(str(first))
    with monkeypatch.context() as patch:
        patch.setattr(Connection, 'poll', Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            GuardedVideoReader(str(first))
    assert len(GuardedVideoReader(str(second))) == 9


def test_a_helper_that_died_between_two_videos(write_video):
    path = str(write_video('a.mp4'))
    GuardedVideoReader(path)
    os.kill(helper_pid(), signal.SIGKILL)
    os.waitid(os.P_PID, helper_pid(), os.WEXITED | os.WNOWAIT)
    assert len(GuardedVideoReader(path)) == 24


def test_a_program_that_does_not_start(write_video, tmp_path, monkeypatch):
    (tmp_path / 'broken.py').write_text('import no_such_module')
    monkeypatch.setattr(guarded_reader, 'PROGRAM', tmp_path / 'broken.py')
    with pytest.raises(DecoderStartError, match='the decoding process does not start'):
        GuardedVideoReader(str(write_video('a.mp4')))


def test_threads_have_helpers_of_their_own(write_video):
    path = str(write_video('a.mp4'))
    GuardedVideoReader(path)
    seen = [helper_pid()]

    def decode():
        frames = GuardedVideoReader(path).get_batch([3]).asnumpy()
        seen.append((helper_pid(), frames.shape))

    thread = threading.Thread(target=decode)
    thread.start()
    thread.join()
    pid, shape = seen[1]
    assert pid != seen[0]
    assert shape == (1, 48, 64, 3)
    assert wait_until_gone(pid)


@pytest.mark.parametrize('method', ['fork', pytest.param('spawn', marks=pytest.mark.slow)])
def test_workers(write_video, videos, make_dataset, method):
    """Also after the main process has read a video: a fork must not share its helper."""
    write_video('a.mp4')
    os.mkfifo(videos / 'hang.mp4')
    init = dict(type='GuardedDecordInit', timeout=3)
    dataset = make_dataset(
        {'a.mp4': ['x', 'y'], 'hang.mp4': ['z']}, (init, *DECODE), on_bad_video='replace'
    )
    expected = dataset[0]['imgs']
    loader = DataLoader(
        dataset,
        batch_size=1,
        num_workers=2,
        collate_fn=list,
        timeout=120,
        persistent_workers=True,
        multiprocessing_context=method,
    )
    for _ in range(2):
        items = [item for batch in loader for item in batch]
        assert [item['video_id'] for item in items] == ['a.mp4'] * 3
        assert 'bad_videos' not in items[0]
        assert items[2]['bad_videos'][0]['reason'] == 'no answer within 3 seconds'
        for item in items:
            np.testing.assert_array_equal(item['imgs'], expected)
    np.testing.assert_array_equal(dataset[0]['imgs'], expected)


@pytest.mark.slow
@pytest.mark.parametrize('end', ['os.kill(os.getpid(), 9)', 'sys.exit()'])
def test_no_helper_outlives_its_owner(write_video, videos, end):
    os.mkfifo(videos / 'hang.mp4')
    code = f"""
import os, sys, threading, time
from ts2net_mm.video import GuardedVideoReader, guarded_reader
GuardedVideoReader({str(write_video('a.mp4'))!r})
print(guarded_reader._local.helper.process.pid, flush=True)
def hang():
    {'pass' if 'sys' in end else 'time.sleep(1); ' + end}
threading.Thread(target=hang).start()
if {'sys' in end}:
    {end}
GuardedVideoReader({str(videos / 'hang.mp4')!r})
"""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=False
    )
    assert wait_until_gone(int(done.stdout)), done.stderr


def test_little_memory_is_kept_and_more_released():
    descriptor = os.memfd_create('frames')
    ours, theirs = FrameMemory(descriptor), FrameMemory(os.dup(descriptor))
    sizes = []
    for height in (10, 300, 50, KEPT_BYTES // 300 + 1, 20):
        frames = np.full((1, height, 100, 3), height % 251, dtype=np.uint8)
        np.testing.assert_array_equal(ours.read(theirs.write(frames)), frames)
        sizes.append(os.fstat(descriptor).st_size)
    assert sizes == [3000, 90000, 90000, 0, 6000]
