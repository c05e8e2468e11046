import json

import pytest

from ts2net_mm.preparation.writing import annotation_text, link_videos, write_files


def test_annotation_has_one_video_a_line():
    videos = {'a "b".mp4': ['ü', 'x'], 'c.mp4': dict(captions=['y'], start=0)}
    text = annotation_text(videos)
    assert json.loads(text) == videos
    assert text.splitlines()[1] == '"a \\"b\\".mp4": ["ü", "x"],'
    assert len(text.splitlines()) == 4


def test_files_are_written_replaced_and_removed(tmp_path):
    out = tmp_path / 'new' / 'folder'
    write_files(out, {'a.json': 'one', 'b.txt': 'two', 'c.txt': None}, [])
    write_files(out, {'a.json': 'ü', 'b.txt': None}, [])
    assert {path.name: path.read_text(encoding='utf-8') for path in out.iterdir()} == {
        'a.json': 'ü'
    }


@pytest.mark.parametrize('obstacle', ['folder', 'text', 'source'])
def test_all_or_nothing(tmp_path, obstacle):
    (tmp_path / 'a.json').write_text('old')
    texts = {'a.json': 'new', 'b.json': 'new'}
    sources = []
    if obstacle == 'folder':
        (tmp_path / 'b.json').mkdir()
    elif obstacle == 'text':
        texts['b.json'] = '\ud800'  # cannot be encoded
    else:
        sources = [tmp_path / 'b.json']
    before = sorted(tmp_path.iterdir())
    errors = {
        'folder': (IsADirectoryError, r'b\.json is a folder, expected a file or nothing'),
        'text': (UnicodeEncodeError, 'surrogates not allowed'),
        'source': (FileExistsError, r'b\.json is an official file that was read; choose another'),
    }
    kind, message = errors[obstacle]
    with pytest.raises(kind, match=message):
        write_files(tmp_path, texts, sources)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / 'a.json').read_text() == 'old'


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match='file'):
        write_files(tmp_path / 'file' / 'out', {'a': 'x'}, [])


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / 'somewhere'
    folder.mkdir()
    return folder


def test_link_is_made_once(tmp_path, videos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    link = tmp_path / 'videos'
    assert link_videos(link, videos.relative_to(tmp_path))
    assert link.is_symlink()
    assert link.resolve() == videos
    assert not link_videos(link, videos)
    assert not link_videos(videos, videos)
    assert not videos.is_symlink()


def test_another_link_is_left_alone(tmp_path, videos):
    link = tmp_path / 'videos'
    link.symlink_to(tmp_path)
    with pytest.raises(FileExistsError, match=r'videos leads to .*, not to .*somewhere; remove it'):
        link_videos(link, videos)
    link.unlink()
    link.symlink_to(tmp_path / 'nowhere')
    with pytest.raises(FileExistsError, match=r'videos leads to .*nowhere, not to'):
        link_videos(link, videos)
    link.unlink()
    link.mkdir()
    with pytest.raises(FileExistsError, match=r'videos exists and is not .*somewhere; remove it'):
        link_videos(link, videos)
