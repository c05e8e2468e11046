import re

import pytest

from ts2net_mm.preparation.videos import VideoIndex, without_extension


@pytest.fixture
def index(tmp_path):
    """Function that makes files and searches them."""

    def make(*names, empty=()):
        for name in (*names, *empty):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b'' if name in empty else b'x')
        return VideoIndex.of(tmp_path)

    return make


@pytest.mark.parametrize(
    ('name', 'stem'),
    [
        ('video7.mp4', 'video7'),
        ('VIDEO.AVI', 'VIDEO'),
        ('x.mov.mp4', 'x'),
        ('1004_Juno_00.00.32.306-00.00.35.446', '1004_Juno_00.00.32.306-00.00.35.446'),
        ('1004_Juno_00.00.32.306-00.00.35.446.avi', '1004_Juno_00.00.32.306-00.00.35.446'),
        ('-_x.webm', '-_x'),
        ('.mp4', '.mp4'),
        ('x.', 'x'),
        ('x..mp4', 'x'),
        ('x.3gpp', 'x'),
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


@pytest.mark.parametrize('ending', ['.', '.3g2', '.3gpp', '.null', '.qt', '.MTS', '.of_a_camera'])
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
        VideoIndex.of(tmp_path / 'nowhere')
