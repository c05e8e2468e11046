import os
import shutil

import pytest
import torch
from mmengine.config import Config

from ts2net_mm.apis import Gallery, RetrievalInferencer
from ts2net_mm.apis import gallery as gallery_module


class Spy:
    """Passes videos on to an inferencer and notes which."""

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


def test_the_second_time_nothing_is_encoded(open_gallery, inferencer):
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
    after, encoded = open_gallery()
    assert encoded == ['1.mp4', '2.mp4', 'new.mp4']
    assert after.num_encoded == 3
    kept = [names(after).index(name) for name in ('0.mp4', '2.mp4', '3.mp4')]
    torch.testing.assert_close(after.frame_features[kept], before.frame_features[[0, 2, 3]])
    assert not torch.allclose(after.frame_features[1], before.frame_features[1])


def test_deleted_files_are_dropped(open_gallery, folder):
    open_gallery()
    (folder / '1.mp4').unlink()
    gallery, encoded = open_gallery()
    assert encoded == []
    assert '1.mp4' not in names(gallery)
    assert (len(gallery), gallery.num_dropped) == (5, 1)
    assert open_gallery()[0].num_dropped == 0


def test_another_model_or_pipeline_encodes_anew(
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


def test_a_damaged_file_is_made_anew(open_gallery, tmp_path, caplog):
    first, _ = open_gallery()
    (path,) = (tmp_path / 'cache').iterdir()
    path.write_bytes(path.read_bytes()[:300])
    again, encoded = open_gallery()
    assert len(encoded) == 6
    assert f'features kept in {path} cannot be used' in caplog.text
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


def test_an_interrupt_before_the_first_video_leaves_nothing(open_gallery, tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught:
        open_gallery(stop_after=0)
    assert not caught.value.args
    assert list((tmp_path / 'cache').iterdir()) == []


@pytest.mark.parametrize(('interval', 'num_writes'), [(0.0, 3), (3600.0, 1)])
def test_long_encodings_are_written_now_and_then(open_gallery, monkeypatch, interval, num_writes):
    sizes = []
    monkeypatch.setattr(gallery_module, 'SAVE_INTERVAL', interval)
    monkeypatch.setattr(gallery_module, 'SAVE_COST_FACTOR', 0.0)
    monkeypatch.setattr(
        gallery_module,
        'write_gallery_file',
        lambda path, _, content: sizes.append(len(content.videos)),
    )
    open_gallery(batch_size=2)
    assert sizes == [2, 4, 6][-num_writes:]


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


def test_no_file_is_a_video(inferencer, tmp_path):
    (tmp_path / 'a.txt').write_text('no video')
    with pytest.raises(ValueError, match=r'there is no video in .*, only files \.txt \(1\)'):
        Gallery.open(tmp_path, inferencer, cache_dir=tmp_path / '.cache')


def test_names_of_all_kinds(open_gallery, folder, make_video):
    odd = ['it\'s "x" [red] <b>&.mp4', 'ü 日本.mp4', 'two\nlines.mp4', 'bad\udcff.mp4']
    for name in odd:
        make_video(folder / name)
    assert set(odd) < set(names(open_gallery()[0]))
    assert open_gallery()[1] == []


def test_no_video_can_be_read(inferencer, bad_folder, tmp_path):
    with pytest.raises(
        ValueError, match=r'none of the 6 videos .* the first is audio\.mp4: it has no video stream'
    ):
        Gallery.open(bad_folder, inferencer, cache_dir=tmp_path / 'cache')
    assert list((tmp_path / 'cache').iterdir()) == []


def test_no_video_in_the_folder(inferencer, tmp_path):
    with pytest.raises(ValueError, match='there is no video file in'):
        Gallery.open(tmp_path, inferencer)


def test_a_single_video(inferencer, make_video, tmp_path):
    make_video(tmp_path / 'one' / 'a.mp4')
    gallery = Gallery.open(tmp_path / 'one', inferencer, cache_dir=tmp_path / 'cache')
    (hit,) = inferencer.search('a red circle', gallery)
    assert (hit.rank, hit.name) == (1, 'a.mp4')


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
        assert captured.err.splitlines() == ['encoding videos: 4 of 6', 'encoding videos: 6 of 6']
