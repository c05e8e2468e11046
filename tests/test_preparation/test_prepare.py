import json
import re

import pytest

from ts2net_mm.preparation import Annotations, Clip, Split, prepare
from ts2net_mm.preparation.prepare import VideoIndex, without_extension


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / 'videos'
    for name in ('a.mp4', 'sub/b.avi'):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b'x')
    return folder


def run(tmp_path, videos, on_missing='keep', sources=(), **splits):
    """Prepare splits of clips, whose ids are single letters or a list."""
    read = [
        Split(name, [Clip(one, ['x']) for one in ids], f'{name}.txt')
        for name, ids in splits.items()
    ]
    annotations = Annotations('X', read, [('train', 'test')], sources)
    out = tmp_path / 'out'
    prepare(annotations, videos=videos, out=out, on_missing=on_missing)
    return out


def read(path):
    return json.loads(path.read_text('utf-8'))


def test_missing_videos_are_kept_or_dropped(tmp_path, videos):
    out = run(tmp_path, videos, train='abc')
    assert list(read(out / 'train.json')) == ['a.mp4', 'sub/b.avi', 'c.mp4']
    assert (out / 'missing_videos.txt').read_text() == 'c\n'
    out = run(tmp_path, videos, 'drop', train='abc')
    assert list(read(out / 'train.json')) == ['a.mp4', 'sub/b.avi']
    assert (out / 'missing_videos.txt').read_text() == 'c\n'
    summary = read(out / 'summary.json')
    assert summary['on_missing'] == 'drop'
    assert summary['splits']['train']['written_videos'] == 2
    assert summary['splits']['train']['videos'] == 3
    (videos / 'c.mp4').write_bytes(b'x')
    run(tmp_path, videos, train='abc')
    assert not (out / 'missing_videos.txt').exists()  # the list of the last time


@pytest.mark.parametrize(
    ('splits', 'error', 'message'),
    [
        (dict(train='ab', test='b'), ValueError, r'1 videos are in both train\.txt and test\.txt'),
        (
            dict(train='xy'),
            FileNotFoundError,
            r'none of the 2 videos is in .*videos, such as x; it',
        ),
        (
            dict(train='a', test='x'),
            FileNotFoundError,
            r'none of the 1 videos of test has a file, so test\.json would be empty',
        ),
    ],
)
def test_nothing_is_written_on_an_error(tmp_path, videos, splits, error, message):
    with pytest.raises(error, match=message):
        run(tmp_path, videos, 'drop', **splits)
    assert not (tmp_path / 'out').exists()


def test_two_ids_of_one_file(tmp_path, videos):
    with pytest.raises(ValueError, match=r'a\.mp4 belongs to two ids, a\.mov and a\.avi'):
        run(tmp_path, videos, train=['a.mov', 'a.avi'])


def test_a_missing_name_with_extension_keeps_it(tmp_path, videos):
    out = run(tmp_path, videos, train=['a.avi', 'c.mov'])
    assert list(read(out / 'train.json')) == ['a.mp4', 'c.mov']


def test_one_video_per_line(tmp_path, videos):
    name = 'c "ü".mp4'
    (videos / name).write_bytes(b'x')
    text = (run(tmp_path, videos, train=[name, 'a']) / 'train.json').read_text('utf-8')
    assert text == '{\n"c \\"ü\\".mp4": ["x"],\n"a.mp4": ["x"]\n}\n'


@pytest.mark.parametrize('obstacle', ['folder', 'text', 'source'])
def test_all_files_or_none(tmp_path, videos, obstacle):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'train.json').write_text('old')
    sources, ids = [], 'b'
    if obstacle == 'folder':
        (out / 'test.json').mkdir()
    elif obstacle == 'text':
        ids = ['b', '\ud800']  # cannot be encoded
    else:
        sources = [out / 'test.json']
    before = sorted(out.iterdir())
    kind, message = {
        'folder': (IsADirectoryError, r'test\.json is a folder, expected a file or nothing'),
        'text': (UnicodeEncodeError, 'surrogates not allowed'),
        'source': (FileExistsError, r'json is an official file that was read; choose another'),
    }[obstacle]
    with pytest.raises(kind, match=message):
        run(tmp_path, videos, sources=sources, train='a', test=ids)
    assert sorted(out.iterdir()) == before
    assert (out / 'train.json').read_text() == 'old'


def test_the_link_is_created_once(tmp_path, videos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        link = run(tmp_path, videos.relative_to(tmp_path), train='a') / 'videos'
        assert link.is_symlink()
        assert link.resolve() == videos
    assert not videos.is_symlink()


@pytest.mark.parametrize(
    ('target', 'message'),
    [
        ('', r'videos leads to .*, not to .*videos; remove it'),
        ('nowhere', r'videos leads to .*nowhere, not to'),
        (None, r'out/videos exists and is not .*videos; remove it'),
    ],
)
def test_nothing_is_written_next_to_another_link(tmp_path, videos, target, message):
    link = tmp_path / 'out' / 'videos'
    link.parent.mkdir()
    if target is None:
        link.mkdir()
    else:
        link.symlink_to(tmp_path / target)
    with pytest.raises(FileExistsError, match=message):
        run(tmp_path, videos, train='a')
    assert list(link.parent.iterdir()) == [link]


@pytest.fixture
def index(tmp_path):
    """Function that makes files and searches them."""

    def make(*names, empty=()):
        for name in (*names, *empty):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b'' if name in empty else b'x')
        return VideoIndex.from_folder(tmp_path)

    return make


@pytest.mark.parametrize(
    ('name', 'stem'),
    [
        ('x.mov.mp4', 'x'),
        ('1004_Juno_00.00.32.306-00.00.35.446.avi', '1004_Juno_00.00.32.306-00.00.35.446'),
        ('-_x.webm', '-_x'),
        ('.mp4', '.mp4'),
        ('x.', 'x'),
        ('x.null', 'x'),
        ('sub/x.mp4', 'x'),
    ],
)
def test_without_extension(name, stem):
    assert without_extension(name) == stem


def test_any_extension_and_depth(index):
    files = index('a.mp4', 'sub/b.AVI', 'sub/deep/c.webm', 'd.txt')
    assert files.find('a') == ['a.mp4']
    assert files.find('b') == ['sub/b.AVI']
    assert files.find('c') == ['sub/deep/c.webm']
    assert files.find('d') == []
    assert files.find('A') == []


def test_several_names_and_files(index):
    files = index('b.mp4', 'a.webm', 'a.mp4', 'sub/a.mov', 'v_a.mp4')
    assert files.find('a') == ['a.mp4', 'a.webm', 'sub/a.mov']
    assert files.find('a.mov') == ['sub/a.mov', 'a.mp4', 'a.webm']
    assert files.find('v_a', 'a') == ['v_a.mp4', 'a.mp4', 'a.webm', 'sub/a.mov']


@pytest.mark.parametrize('ending', ['.', '.null', '.MTS', '.of_a_camera'])
def test_files_named_as_listed(index, ending):
    assert index(f'a{ending}', 'b.mp4').find(f'a{ending}') == [f'a{ending}']


def test_a_twin_keeps_its_file(index):
    files = index('a.mov.mp4', 'a.avi.mp4', 'b.avi', 'c.mp4')
    names = {'a.mov', 'a.avi', 'b.mov', 'b.avi', 'c.mov', 'c.avi'}
    assert files.find('a.mov', others=names) == ['a.mov.mp4']
    assert files.find('a.avi', others=names) == ['a.avi.mp4']
    assert files.find('b.mov', others=names) == []
    assert files.find('b.mov') == ['b.avi']
    # converted to another format, of whichever of the two
    assert files.find('c.mov', others=names) == ['c.mp4']


def test_names_with_folders(index):
    files = index('x/1.mp4', 'y/1.mp4', '2.mp4')
    assert files.find('x/1.mp4') == ['x/1.mp4']
    assert files.find('y/1') == ['y/1.mp4']
    assert files.find('/data/videos/y/1.mp4') == ['y/1.mp4']
    assert files.find('z/1.mp4') == []
    assert files.find('z/2.mp4') == ['2.mp4']


def test_empty_files_and_broken_links_do_not_count(index, tmp_path):
    (tmp_path / 'b.mp4').symlink_to(tmp_path / 'nowhere')
    files = index('c.mp4', empty=['a.mp4'])
    assert [files.find(name) for name in 'abc'] == [[], [], ['c.mp4']]


def test_no_videos(index, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=f'there is no video file in {re.escape(str(tmp_path))}'
    ):
        index('a.txt', empty=['b.mp4'])
    with pytest.raises(FileNotFoundError, match='video folder .*nowhere does not exist'):
        VideoIndex.from_folder(tmp_path / 'nowhere')
