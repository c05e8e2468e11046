"""Encoding files into an index: what is encoded, what is tried again, and by which process."""

import os
import re
import time

import numpy as np
import pytest
from index_data import ColourEncoder
from tiny import write_noise

from ts2net_mm.search import VideoStore
from ts2net_mm.search.encoding import encode_files, encode_into
from ts2net_mm.search.sharing import Progress, Share
from ts2net_mm.search.targets import Target
from ts2net_mm.search.windows import Windowing, WindowReader
from ts2net_mm.utils.workers import Failure
from ts2net_mm.video.video_files import find_videos


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'videos'
    folder.mkdir()
    for number, frames in enumerate((20, 30, 150)):  # 2, 3 and 15 seconds
        write_noise(folder / f'{number}.mp4', num_frames=frames, seed=number)
    return folder


def encode(folder, index, encoder=None, *, files=None, **options):
    options = dict(windowing=Windowing(3.0), num_workers=2) | options
    files = find_videos(folder) if files is None else files
    return encode_into(Target(index), files, encoder or ColourEncoder(), **options)


def names(index):
    return sorted(os.path.basename(v.path) for v in VideoStore(index).view().encoded_videos())


def test_windows_are_encoded_in_batches_and_put_together(folder, tmp_path):
    encoder = ColourEncoder()
    report = encode(folder, tmp_path / 'index', encoder, batch_size=4)
    assert (report.num_known, report.num_encoded, report.skipped) == (0, 3, {})
    assert encoder.batches == [4, 4, 3]  # 1 + 1 + 9 windows
    view = VideoStore(tmp_path / 'index').view()
    video = view.find(str(folder / '2.mp4'))
    assert (video.num_windows, video.duration) == (9, pytest.approx(15))
    rows = list(view.windows_of(video.number))
    np.testing.assert_allclose(view.starts[rows], 1.5 * np.arange(9), atol=1e-6)
    np.testing.assert_allclose(view.ends[rows], 1.5 * np.arange(9) + 3, atol=1e-6)
    (whole,) = encode_files([find_videos(folder)[2]], ColourEncoder())
    np.testing.assert_allclose(whole.windows.frame_seconds, [[0, 7, 14]], atol=1e-3)
    # the frame at 7 seconds is also a frame of some window
    seconds = view.read_frames(rows)['seconds']
    window, frame = np.argwhere(np.abs(seconds - 7) < 1e-3)[0]
    record = view.read_frames([rows[window]])[0]
    features = record['frames'][frame] * record['norms'][frame]
    np.testing.assert_allclose(features, whole.windows.features[0, 1], rtol=1e-5)


def test_only_new_and_changed_videos_are_encoded(folder, tmp_path):
    index, encoder = tmp_path / 'index', ColourEncoder()
    encode(folder, index)
    assert encode(folder, index, encoder).num_known == 3
    assert encoder.batches == []
    write_noise(folder / '0.mp4', num_frames=40, seed=9)
    write_noise(folder / '3.mp4', num_frames=20, seed=10)
    report = encode(folder, index, encoder)
    assert (report.num_known, report.num_encoded) == (2, 2)
    assert names(index) == ['0.mp4', '1.mp4', '2.mp4', '3.mp4']
    assert VideoStore(index).view().find(str(folder / '0.mp4')).duration == pytest.approx(4)


def test_damaged_videos_are_listed_and_tried_again_once_they_change(folder, tmp_path):
    index, bad = tmp_path / 'index', folder / 'bad.mp4'
    bad.write_text('no video')
    assert encode(folder, index).skipped == {str(bad): 'it is damaged or no video'}
    decoded = encode(folder, index, files=[f for f in find_videos(folder) if f.path == bad])
    assert decoded.skipped == {str(bad): 'it is damaged or no video'}
    write_noise(bad, num_frames=20)
    report = encode(folder, index)
    assert (report.num_known, report.num_encoded, report.skipped) == (3, 1, {})


def test_a_failure_that_may_pass_is_tried_again(folder, tmp_path, monkeypatch):
    late = Failure('no answer within 600 seconds')
    monkeypatch.setattr(WindowReader, '__call__', lambda self, part: late)
    encode(folder, tmp_path / 'index', files=find_videos(folder)[:1])
    monkeypatch.undo()
    encode(folder, tmp_path / 'index', files=find_videos(folder)[1:])
    monkeypatch.setattr(WindowReader, '__call__', lambda self, part: late)
    report = encode(folder, tmp_path / 'index')
    assert report.skipped == {str(folder / '0.mp4'): late.reason}
    assert VideoStore(tmp_path / 'index').view().find(str(folder / '0.mp4')).note == late.reason
    monkeypatch.undo()
    assert encode(folder, tmp_path / 'index').num_encoded == 1


@pytest.mark.parametrize('change', ['rename', 'rewrite', 'delete'])
def test_files_that_change_while_they_are_encoded(folder, tmp_path, change):
    index, path = tmp_path / 'index', folder / '1.mp4'

    class Slow(ColourEncoder):
        def encode_items(self, items):
            if len(self.batches) != 1:  # the second batch is this video, which was read
                pass
            elif change == 'rename':
                path.rename(folder / 'renamed.mp4')
            elif change == 'rewrite':
                write_noise(path, num_frames=50, seed=5)
            else:
                path.unlink()
            return super().encode_items(items)

    report = encode(folder, index, Slow(), batch_size=1)
    assert report.skipped == {str(path): 'it was changed or renamed while it was read'}
    assert names(index) == ['0.mp4', '2.mp4']
    assert encode(folder, index).skipped == {}
    expected = dict(rename='renamed.mp4', rewrite='1.mp4').get(change)
    assert names(index) == sorted(filter(None, ['0.mp4', '2.mp4', expected]))


def test_a_long_video_that_ends_early_is_skipped_whole(folder, tmp_path, monkeypatch):
    """A later part fails, after windows of the first part were encoded."""
    read = WindowReader.__call__
    monkeypatch.setattr(
        WindowReader,
        '__call__',
        lambda self, part: Failure('damaged') if part.first else read(self, part),
    )
    report = encode(folder, tmp_path / 'index', windowing=Windowing(1.0, 0.5), batch_size=4)
    assert report.skipped == {str(folder / '2.mp4'): 'damaged'}
    assert names(tmp_path / 'index') == ['0.mp4', '1.mp4']


def test_an_interrupt_keeps_what_was_finished(folder, tmp_path):
    class Interrupted(ColourEncoder):
        def encode_items(self, items):
            if len(self.batches) == 2:
                raise KeyboardInterrupt
            return super().encode_items(items)

    with pytest.raises(KeyboardInterrupt):
        encode(folder, tmp_path / 'index', Interrupted(), batch_size=1)
    assert names(tmp_path / 'index') == ['0.mp4', '1.mp4']
    assert encode(folder, tmp_path / 'index').num_encoded == 1


def test_another_model_or_other_windows_are_refused(folder, tmp_path):
    encode(folder, tmp_path / 'index')
    with pytest.raises(ValueError, match='fingerprint is colours, now other'):
        encode(folder, tmp_path / 'index', ColourEncoder('other'))
    with pytest.raises(ValueError, match='window is 3.0, now 2.0; stride is 1.5, now 1.0'):
        encode(folder, tmp_path / 'index', windowing=Windowing(2.0))


def test_processes_share_the_videos(folder, tmp_path):
    files = find_videos(folder)
    shares = [Share(rank, 3).of(files) for rank in range(3)]
    assert sorted(file.name for share in shares for file in share) == ['0.mp4', '1.mp4', '2.mp4']
    assert [Share(rank, 3).of(files[::-1]) for rank in range(3)] == [s[::-1] for s in shares]
    for share in shares[:2]:  # the third process is lost
        encode(folder, tmp_path / 'index', files=share)
    assert encode(folder, tmp_path / 'index').num_encoded == len(shares[2])
    assert names(tmp_path / 'index') == ['0.mp4', '1.mp4', '2.mp4']


@pytest.mark.parametrize(
    ('environment', 'expected'),
    [
        ({}, Share(0, 1)),
        (dict(RANK='1', WORLD_SIZE='4'), Share(1, 4)),
        (dict(SLURM_PROCID='2', SLURM_NTASKS='8', SLURM_STEP_NUM_TASKS='4'), Share(2, 4)),
        (dict(SLURM_PROCID='0', SLURM_NTASKS='8'), Share(0, 1)),  # a batch script without srun
    ],
)
def test_launchers_tell_the_share(environment, expected):
    assert Share.from_environment(environment) == expected


def test_progress_reads_no_table_of_the_index(folder, tmp_path, monkeypatch):
    """A look into an index takes no longer for a million windows."""
    index, files = tmp_path / 'index', find_videos(folder)
    encode(folder, index, files=files[:2])
    (tmp_path / 'index/segments/.unfinished').mkdir()
    expected = len(VideoStore(index).view().videos)
    monkeypatch.setattr(VideoStore, 'view', None)
    assert VideoStore(index).count_records() == expected == 2


def test_the_first_process_shows_what_all_did(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('ts2net_mm.search.sharing.LOOK_INTERVAL', 0.0)
    monkeypatch.setattr('ts2net_mm.utils.progress.LINE_INTERVAL', 0.0)
    index, files = tmp_path / 'index', find_videos(folder)
    encode(folder, index, files=files[:1])
    target = Target(index)
    with (
        Progress(target, files, Share(0, 2)) as first,
        Progress(target, files, Share(1, 2)) as other,
    ):
        encode(folder, index, files=files[1:2])
        time.sleep(0.01)
        first.advance(0)
        other.advance(1)
    line = capsys.readouterr().err
    assert re.fullmatch(r'encoding videos: 1 of 2, about 0:00:0\d left\n', line)
