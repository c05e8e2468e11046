import dataclasses
import os
import shutil
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.config import Config
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ts2net_mm.apis import Gallery, RetrievalInferencer
from ts2net_mm.apis import gallery as gallery_module
from ts2net_mm.apis.gallery import (
    EncodedVideo,
    GalleryContent,
    read_gallery_file,
    write_gallery_file,
)
from ts2net_mm.utils.workers import Failure

VIDEOS = {
    name: EncodedVideo(
        size=index,
        mtime_ns=1_700_000_000_000_000_001 + index,
        frame_features=torch.randn(3, 4),
        frame_mask=torch.tensor([True, index % 2 == 0, False]),
        frame_seconds=torch.tensor([0.0, 1.5, float('nan')]),
    )
    for index, name in enumerate(['a.mp4', 'ü\n日本.mp4', 'bad\udcff.mp4'])
}

CONTENT = GalleryContent(VIDEOS, {'notes\udcff.txt': (7, 1_700_000_000_000_000_009)})


class Spy:
    """Passes videos to an inferencer and records their names."""

    def __init__(self, inferencer, *, stop_after=None):
        self.inferencer = inferencer
        self.fingerprint = inferencer.fingerprint
        self.video_pipeline = inferencer.video_pipeline
        self.stop_after = stop_after
        self.encoded = []

    def encode_videos(self, paths, **kwargs):
        self.encoded += [path.name for path in paths]
        for index, batch in enumerate(self.inferencer.encode_videos(paths, **kwargs)):
            if index == self.stop_after:
                raise KeyboardInterrupt
            yield batch


@pytest.fixture
def folder(video_folder, tmp_path):
    return shutil.copytree(video_folder, tmp_path / 'videos')


@pytest.fixture
def open_gallery(inferencer, folder, tmp_path):
    """Open the folder's gallery; returns it and the names of the files that were encoded."""

    def open_(stop_after=None, **kwargs):
        spy = Spy(inferencer, stop_after=stop_after)
        gallery = Gallery.open(folder, spy, cache_dir=tmp_path / 'cache', **kwargs)
        return gallery, spy.encoded

    return open_


def names(gallery):
    return [video.name for video in gallery.videos]


def test_nothing_is_encoded_twice(open_gallery, inferencer):
    first, encoded = open_gallery()
    assert encoded == ['0.mp4', '1.mp4', '2.mp4', '3.mp4', 'short.mp4', '5.mp4']
    assert first.num_encoded == len(first) == 6
    again, encoded = open_gallery()
    assert encoded == []
    assert again.num_encoded == 0
    assert names(again) == names(first)
    torch.testing.assert_close(again.frame_features, first.frame_features, rtol=0, atol=0)
    assert again.frame_mask.tolist() == first.frame_mask.tolist()
    assert inferencer.search('a', again) == inferencer.search('a', first)


def test_only_new_and_changed_files_are_encoded(open_gallery, folder, make_video):
    before, _ = open_gallery()
    make_video(folder / 'new.mp4', seed=9)
    make_video(folder / '1.mp4', seed=10)
    os.utime(folder / '2.mp4', ns=(0, 123))
    (folder / 'short.mp4').unlink()
    after, encoded = open_gallery()
    assert encoded == ['1.mp4', '2.mp4', 'new.mp4']
    assert names(after) == ['0.mp4', '1.mp4', '2.mp4', '3.mp4', 'new.mp4', 'sub/5.mp4']
    assert (after.num_encoded, after.num_dropped) == (3, 1)
    same = [0, 2, 3]
    torch.testing.assert_close(after.frame_features[same], before.frame_features[same])
    assert not torch.allclose(after.frame_features[1], before.frame_features[1])
    again, encoded = open_gallery()
    assert (encoded, again.num_dropped) == ([], 0)


def test_another_model_or_pipeline_has_another_file(
    open_gallery, config_file, checkpoint, folder, tmp_path
):
    open_gallery()
    config = Config.fromfile(config_file)
    config.test_pipeline[1].num_frames = 3
    spy = Spy(RetrievalInferencer(config, checkpoint, device='cpu'))
    gallery = Gallery.open(folder, spy, cache_dir=tmp_path / 'cache')
    assert len(spy.encoded) == 6
    assert gallery.frame_mask.shape == (6, 3)
    assert open_gallery()[1] == []
    assert len(list((tmp_path / 'cache').iterdir())) == 2


def test_a_damaged_file_is_replaced(open_gallery, tmp_path, caplog):
    first, _ = open_gallery()
    (path,) = (tmp_path / 'cache').iterdir()
    path.write_bytes(path.read_bytes()[:300])
    again, encoded = open_gallery()
    assert len(encoded) == 6
    assert f'features in {path} cannot be used' in caplog.text
    torch.testing.assert_close(again.frame_features, first.frame_features)
    assert open_gallery()[1] == []


def test_an_interrupt_keeps_what_is_encoded(open_gallery, tmp_path):
    with pytest.raises(KeyboardInterrupt, match='4 of 6 videos are encoded and kept in'):
        open_gallery(stop_after=2, batch_size=2)
    (path,) = (tmp_path / 'cache').iterdir()
    assert path.suffix == '.safetensors'
    gallery, encoded = open_gallery()
    assert encoded == ['short.mp4', '5.mp4']
    assert len(gallery) == 6


def test_a_full_disk_is_a_warning(open_gallery, monkeypatch, caplog):
    def fail(*args):
        raise OSError('no space left')

    monkeypatch.setattr(gallery_module, 'write_gallery_file', fail)
    gallery, _ = open_gallery()
    assert len(gallery) == 6
    assert 'cannot be kept in' in caplog.text
    assert 'no space left' in caplog.text


def test_unreadable_videos_are_named_and_tried_again(open_gallery, folder, bad_folder):
    for name in ('audio.mp4', 'text.mp4'):
        shutil.copy(bad_folder / name, folder / 'sub' / name)
    gallery, _ = open_gallery()
    assert len(gallery) == gallery.num_encoded == 6
    assert gallery.skipped == {
        'sub/audio.mp4': 'it has no video stream (audio only?)',
        'sub/text.mp4': 'it is damaged or no video',
    }
    again, encoded = open_gallery()
    assert encoded == ['audio.mp4', 'text.mp4']
    assert again.skipped == gallery.skipped
    assert again.num_encoded == 0


def test_every_file_is_tried_whatever_its_ending(open_gallery, folder, make_video, monkeypatch):
    for name in ('a.ts', 'b.dat', 'c', 'd.JPG'):
        make_video(folder / name)
    for name in ('e.jpg', 'f.JPG', 'g.ts', 'sub/h', 'i.txt'):
        (folder / name).write_text('no video')
    (folder / '.hidden').touch()
    gallery, encoded = open_gallery()
    assert len(encoded) == 6 + 9
    assert set(names(gallery)) > {'a.ts', 'b.dat', 'c', 'd.JPG'}
    assert gallery.skipped == {}
    assert gallery.left == {'.jpg': 2, '.ts': 1, '.txt': 1, '': 1}
    again, encoded = open_gallery()
    assert (encoded, again.left) == ([], gallery.left)
    os.utime(folder / 'g.ts', ns=(0, 123))
    (folder / 'e.jpg').unlink()
    again, encoded = open_gallery()
    assert (encoded, sum(again.left.values())) == (['g.ts'], 4)
    assert open_gallery()[1] == []


def test_a_transient_failure_does_not_exclude_a_file(open_gallery, folder, make_video):
    make_video(folder / 'film.ts')
    crash = Failure('no answer within 60 seconds')
    reading = mock.patch('ts2net_mm.apis.reading.PipelineReader.__call__', return_value=crash)
    with reading, pytest.raises(ValueError, match='no answer within 60 seconds'):
        open_gallery()
    assert 'film.ts' in open_gallery()[1]


def test_a_folder_without_videos(inferencer, bad_folder, tmp_path):
    (tmp_path / 'texts').mkdir()
    with pytest.raises(ValueError, match='there is no video file in'):
        Gallery.open(tmp_path / 'texts', inferencer)
    (tmp_path / 'texts' / 'a.txt').write_text('no video')
    for folder, message in (
        (tmp_path / 'texts', r'there is no video in .*, only files \.txt \(1\)'),
        (bad_folder, r'none of the 6 videos .* the first is audio\.mp4: it has no video stream'),
    ):
        with pytest.raises(ValueError, match=message):
            Gallery.open(folder, inferencer, cache_dir=tmp_path / 'cache')
    assert list((tmp_path / 'cache').iterdir()) == []


def test_names_of_all_kinds(open_gallery, folder, make_video):
    odd = ['it\'s "x" [red] <b>&.mp4', 'ü 日本.mp4', 'two\nlines.mp4', 'bad\udcff.mp4']
    for name in odd:
        make_video(folder / name)
    assert set(odd) < set(names(open_gallery()[0]))
    assert open_gallery()[1] == []


def test_the_cache_folder(inferencer, make_video, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    make_video(tmp_path / 'videos' / 'a.mp4')
    shutil.copytree(tmp_path / 'videos', tmp_path / 'copy')
    for folder in ('videos', 'copy', 'copy/../videos'):
        gallery = Gallery.open(tmp_path / folder, inferencer)
        (hit,) = inferencer.search('a red circle', gallery)
        assert (hit.rank, hit.name) == (1, 'a.mp4')
    assert gallery.num_encoded == 0
    assert len(list((tmp_path / 'xdg' / 'ts2net_mm').iterdir())) == 2
    monkeypatch.delenv('XDG_CACHE_HOME')
    Gallery.open(tmp_path / 'videos', inferencer)
    assert len(list((tmp_path / 'home' / '.cache' / 'ts2net_mm').iterdir())) == 1
    with pytest.raises(OSError, match=r'cache folder .*a\.mp4 cannot be made: File exists'):
        Gallery.open(tmp_path / 'videos', inferencer, cache_dir=tmp_path / 'videos' / 'a.mp4')


@pytest.mark.parametrize('is_terminal', [True, False])
def test_progress_goes_to_stderr(open_gallery, monkeypatch, capsys, is_terminal):
    monkeypatch.setattr('ts2net_mm.utils.progress.LINE_INTERVAL', 0.0)
    monkeypatch.setattr('rich.console.Console.is_terminal', is_terminal)
    open_gallery(batch_size=4, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ''
    if is_terminal:
        assert '6/6' in captured.err
    else:
        counts, left = zip(*(line.split(', ') for line in captured.err.splitlines()), strict=True)
        assert counts == ('encoding videos: 4 of 6', 'encoding videos: 6 of 6')
        assert left[-1] == 'about 0:00:00 left'


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / 'gallery.safetensors'


def test_what_is_written_is_read(path):
    write_gallery_file(path, 'model', CONTENT)
    content = read_gallery_file(path, 'model')
    videos = content.videos
    assert content.others == CONTENT.others
    assert list(videos) == list(VIDEOS)
    for name, video in videos.items():
        assert (video.size, video.mtime_ns) == (VIDEOS[name].size, VIDEOS[name].mtime_ns)
        assert torch.equal(video.frame_features, VIDEOS[name].frame_features)
        assert torch.equal(video.frame_mask, VIDEOS[name].frame_mask)
        assert video.frame_seconds[:2].tolist() == [0, 1.5]
    assert os.listdir(path.parent) == [path.name]


def test_a_file_of_another_model_counts_as_empty(path, caplog):
    write_gallery_file(path, 'model', CONTENT)
    assert read_gallery_file(path, 'other') == GalleryContent()
    assert 'another format or model' in caplog.text


def rewrite(path, **changes):
    """Change tensors of the file but not its index."""
    with safe_open(path, framework='pt') as file:
        index = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file({name: changes.get(name, lambda t: t)(t) for name, t in tensors.items()}, path, index)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        (
            dict(frame_features=lambda t: t[:2].clone()),
            '(2, 3, 4), expected (3, 3) x channels',
        ),
        (dict(frame_seconds=lambda t: t[:, :2].clone()), 'masks or times do not belong'),
        (dict(frame_features=lambda t: t + 1e-3), 'its checksum is wrong'),
    ],
)
def test_changed_tensors_are_detected(path, caplog, changes, reason):
    write_gallery_file(path, 'model', CONTENT)
    rewrite(path, **changes)
    assert read_gallery_file(path, 'model') == GalleryContent()
    assert reason in caplog.text


def test_features_that_are_not_finite_are_not_used(path, caplog):
    bad = dataclasses.replace(VIDEOS['a.mp4'], frame_features=torch.full((3, 4), float('nan')))
    write_gallery_file(path, 'model', GalleryContent(VIDEOS | {'a.mp4': bad}))
    assert read_gallery_file(path, 'model') == GalleryContent()
    assert 'it holds features that are not finite' in caplog.text


@pytest.mark.parametrize('error', [OSError('disk full'), SafetensorError('disk full')])
def test_a_write_that_fails_leaves_the_old_file(path, monkeypatch, error):
    write_gallery_file(path, 'model', CONTENT)
    before = path.read_bytes()

    def fail(tensors, target, metadata):
        Path(target).write_bytes(b'half')
        raise error

    monkeypatch.setattr(gallery_module, 'save_file', fail)
    with pytest.raises(OSError, match='disk full'):
        write_gallery_file(path, 'model', GalleryContent(dict(list(VIDEOS.items())[:1])))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
