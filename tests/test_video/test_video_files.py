"""Finding video files and folders of pictures."""

import os

import pytest

from ts2net_mm.apis import find_videos
from ts2net_mm.video.video_files import find_frame_folders, is_skipped_video


def test_finds_videos_in_sub_folders_by_extension(tmp_path):
    names = ['b.MP4', 'a/c.webm', 'a/it\'s "x".mkv', 'ü/日本 [red].mov']
    for name in [*names, 'notes.txt', 'mp4', '.hidden.mp4', '.trash/gone.mp4', 'script.ts']:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b'abc')
    (tmp_path / 'folder.mp4').mkdir()
    videos = find_videos(tmp_path)
    assert [video.name for video in videos] == sorted(names)
    assert all(video.path == tmp_path / video.name for video in videos)
    assert {video.size for video in videos} == {3}


def test_links_do_not_lead_into_a_cycle(tmp_path):
    (tmp_path / 'a.mp4').touch()
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere' / 'b.mp4').touch()
    folder = tmp_path / 'folder'
    folder.mkdir()
    (folder / 'up').symlink_to(tmp_path)
    assert [video.name for video in find_videos(folder)] == ['up/a.mp4', 'up/elsewhere/b.mp4']


def test_a_broken_link_is_listed(tmp_path):
    (tmp_path / 'a.mp4').symlink_to(tmp_path / 'nowhere')
    assert [(video.name, video.size) for video in find_videos(tmp_path)] == [('a.mp4', -1)]


def test_folders_that_are_missing_or_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='video folder .*nowhere does not exist'):
        find_videos(tmp_path / 'nowhere')
    (tmp_path / 'a.mp4').touch()
    with pytest.raises(NotADirectoryError, match=r'a\.mp4 is a file, expected a folder'):
        find_videos(tmp_path / 'a.mp4')


def test_finds_folders_of_pictures(tmp_path):
    for name in ['b/img_00001.jpg', 'b/img_00002.jpg', 'a/sub/img_00001.jpg', 'c/0001.jpg']:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'abc')
    os.utime(tmp_path / 'b/img_00002.jpg', ns=(1, 9_000_000_000_000_000_000))
    found = find_frame_folders(tmp_path, 'img_{:05}.jpg')
    assert [(video.name, video.size) for video in found] == [('a/sub', 3), ('b', 6)]
    assert found[1].path == tmp_path / 'b'
    assert found[1].mtime_ns == 9_000_000_000_000_000_000
    (alone,) = find_frame_folders(tmp_path / 'b', 'img_{:05}.jpg')
    assert alone.name == 'b'


def test_files_that_cannot_be_read_are_videos_by_name_or_as_long_as_they_may_be_read(tmp_path):
    for name, is_final, expected in (
        ('a.MP4', True, True),
        ('a.txt', True, False),
        ('a.txt', False, True),
        ('.', True, True),  # a folder, which holds frames
    ):
        assert is_skipped_video(tmp_path / name, is_final=is_final) is expected
