"""The index of a folder follows the folder."""

import os
import shutil

import pytest
from index_data import ColourEncoder
from tiny import write_noise

from ts2net_mm.search import VideoStore
from ts2net_mm.search.folders import ListedFolder, update_folder_index
from ts2net_mm.search.windows import Windowing


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'videos'
    (folder / 'sub').mkdir(parents=True)
    for name, frames in (('a.mp4', 20), ('b.mp4', 20), ('sub/long.mp4', 80)):
        write_noise(folder / name, num_frames=frames, seed=frames)
    return folder


@pytest.fixture
def update(folder, tmp_path):
    def update(folder=folder, windowing=Windowing(2.0), encoder=None):  # noqa: B008
        encoder = encoder or ColourEncoder()
        return update_folder_index(
            ListedFolder.from_folder(folder, encoder.video_pipeline),
            encoder,
            windowing=windowing,
            cache_dir=tmp_path / 'cache',
            num_workers=1,
        )

    return update


def names(found):
    view = VideoStore(found.place).view()
    return sorted(found.name_of(video.path) for video in view.encoded_videos())


def counts(found):
    return found.report.num_known, found.report.num_encoded, found.num_dropped


def test_new_changed_and_missing_videos(update, folder):
    assert counts(update()) == (0, 3, 0)
    write_noise(folder / 'a.mp4', num_frames=30, seed=7)
    (folder / 'b.mp4').rename(folder / 'renamed.mp4')
    found = update()
    assert counts(found) == (1, 2, 1)
    assert names(found) == ['a.mp4', 'renamed.mp4', 'sub/long.mp4']
    assert counts(update()) == (3, 0, 0)


def test_what_another_process_added_meanwhile_stays(update, folder):
    """This process has listed the files before, so that it does not know the new one."""

    class Meanwhile(ColourEncoder):
        def encode_items(self, items):
            if not (folder / 'new.mp4').exists():
                write_noise(folder / 'new.mp4', num_frames=20, seed=9)
                assert counts(update()) == (0, 4, 0)
            return super().encode_items(items)

    found = update(encoder=Meanwhile())
    assert found.num_dropped == 0
    assert 'new.mp4' in names(found)
    assert counts(update()) == (4, 0, 0)


def test_a_folder_that_cannot_be_listed_for_a_moment(update, folder, monkeypatch):
    update()
    (folder / 'sub').rename(folder.parent / 'away')
    lstat = os.lstat

    def refuse(path, *args, **kwargs):
        if 'sub' in os.fspath(path).split('/'):
            raise PermissionError(path)
        return lstat(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'lstat', refuse)
        assert update().num_dropped == 0
    (folder.parent / 'away').rename(folder / 'sub')
    assert counts(update()) == (3, 0, 0)
    shutil.rmtree(folder / 'sub')
    assert [update().num_dropped for _ in range(2)] == [1, 0]


def test_a_folder_with_a_name_of_other_bytes(update, folder):
    place = folder.with_name(os.fsdecode(b'caf\xe9'))
    folder.rename(place)
    assert counts(update(place)) == (0, 3, 0)


def test_what_is_not_a_video_is_counted_and_a_bad_video_named(update, folder):
    (folder / 'notes.txt').write_text('no video')
    (folder / 'v1.0').mkdir()
    (folder / 'v1.0' / 'readme').write_text('no video')
    (folder / 'bad.mp4').write_text('no video')
    for _ in range(2):
        report = update().report
        assert report.skipped_videos == {str(folder / 'bad.mp4'): 'it is damaged or no video'}
        assert report.others == {'.txt': 1, '': 1}
    write_noise(folder / 'bad.mp4', num_frames=20)
    assert counts(update()) == (3, 1, 0)


def test_folders_without_videos(update, tmp_path):
    folder = tmp_path / 'texts'
    folder.mkdir()
    (folder / 'notes.txt').write_text('no video')
    with pytest.raises(ValueError, match=r'there is no video in .*texts, only files \.txt \(1\)'):
        update(folder)
    (folder / 'bad.mp4').write_text('no video')
    with pytest.raises(ValueError, match=r'none of the 1 videos .*; the first is bad.mp4: it is'):
        update(folder)
    assert not list((tmp_path / 'cache').iterdir())


def test_each_model_and_windowing_has_an_index(update):
    places = {
        update().place,
        update(windowing=None).place,
        update(encoder=ColourEncoder('other')).place,
    }
    assert len(places) == 3
    assert counts(update()) == (3, 0, 0)


def test_a_folder_under_another_name_has_the_paths_of_that_name(update, folder, tmp_path):
    (tmp_path / 'link').symlink_to(folder)
    found = update(tmp_path / 'link')
    assert counts(found) == (0, 3, 0)
    paths = [video.path for video in VideoStore(found.place).view().encoded_videos()]
    assert all(path.startswith(str(tmp_path / 'link' / '')) for path in paths)
    assert names(found) == ['a.mp4', 'b.mp4', 'sub/long.mp4']
    assert counts(update()) == (0, 3, 0)


def test_removed_videos_do_not_fill_the_disk(update, folder):
    first = update()
    shutil.rmtree(folder / 'sub')  # seven of nine windows
    assert update().num_dropped == 1
    view = VideoStore(first.place).view()
    assert (len(view), view.num_windows) == (2, 2)


def test_an_interrupt_says_what_is_kept(update):
    class Interrupted(ColourEncoder):
        def encode_items(self, items):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match='^encoded videos are kept in /'):
        update(encoder=Interrupted())
