"""tools/index.py from the command line."""

import numpy as np
import pytest
from index_data import describe, make_entry

from ts2net_mm.search import VideoEntry, VideoStore


@pytest.fixture
def tool(load_tool):
    return load_tool('index.py')


@pytest.fixture
def store(tmp_path):
    store = VideoStore.create(
        tmp_path / 'index', describe(model='a model', window=12.0, stride=6.0)
    )
    for name in 'ab':
        (tmp_path / name).touch()
    with store.writer() as writer:
        writer.add([make_entry(str(tmp_path / name), seed=1) for name in 'abc'])
        writer.add([make_entry(str(tmp_path / 'a'), seed=2)])
        writer.add([VideoEntry('/bad\n.mp4', size=9, note='it is damaged')])
    return store


@pytest.fixture
def run(tool, store, capsys):
    def run(*args):
        code = tool.main([str(store.folder), *map(str, args)])
        return code, *capsys.readouterr()

    return run


def test_info(run, store):
    code, out, _ = run('info')
    assert code == 0
    assert out.splitlines()[0] == 'model: a model'
    assert out.splitlines()[1].startswith('3 videos, 6 windows (12 s every 6 s), ')
    radius = np.median(store.view().summary.radius[store.view().is_live])
    assert out.splitlines()[2:] == [
        f'median radius of a window: {radius:.2f} (docs/search.md says what it means)',
        '2 windows were removed or replaced; compact frees their space',
        '1 videos could not be read:',
        r'  /bad\n.mp4: it is damaged',
    ]


def test_info_counts_what_is_not_a_video(run, store):
    """A text is only counted, unless its failure may pass: then it may be a video."""
    with store.writer() as writer:
        writer.add([VideoEntry('/notes.txt', size=9, note='it is no video')])
        writer.add([VideoEntry('/no ending', note='no answer within 600 seconds')])
    lines = run('info')[1].splitlines()
    assert '1 files are not videos' in lines
    assert '  /no ending: no answer within 600 seconds' in lines
    assert not any('notes.txt' in line for line in lines)


def test_check_and_drop(run, store, tmp_path):
    assert run('check') == (0, '3 videos are whole\n', '')
    (path,) = store.folder.glob('segments/*/frames')
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 8] ^= 1  # of b, the second of four
    path.write_bytes(content)
    assert run('check') == (1, f'damaged: {tmp_path}/b\n', '')
    assert run('check', '--drop')[0] == 0
    assert run('check') == (0, '2 videos are whole\n', '')


def test_prune(run, store, tmp_path):
    assert run('prune')[1] == '2 of 4 videos are removed\n'
    assert len(list(store.view().encoded_videos())) == 2
    (tmp_path / 'a').unlink()
    (tmp_path / 'b').unlink()
    code, _, err = run('prune')
    assert (code, err) == (1, 'error: the files of all videos are missing: is their disk there?\n')
    assert store.view().num_videos == 2


def test_compact(run, store):
    frames = store.view().read_frames([2, 3, 4, 5, 6, 7])
    assert run('compact')[1].endswith('MB are freed\n')
    view = store.view()
    assert len(view) == 6
    np.testing.assert_array_equal(view.read_frames(range(6)), frames)


def test_export(run, tmp_path):
    assert run('export', '--to', tmp_path / 'a.npz')[1] == f'6 windows: {tmp_path}/a.npz\n'
    assert np.load(tmp_path / 'a.npz')['path'][0] == str(tmp_path / 'b')
    assert 'expected a file in .npz or .parquet' in run('export', '--to', tmp_path / 'a.txt')[2]


def test_copy(run, store, tmp_path):
    copied = f'4 videos copied, 0 were there\n{tmp_path}/copy: 3 videos, 6 windows\n'
    assert run('copy', '--to', tmp_path / 'copy') == (0, copied, '')
    with store.writer() as writer:
        writer.remove([str(tmp_path / 'a')])
    assert run('copy', '--to', tmp_path / 'copy')[1].splitlines() == [
        '0 videos copied, 3 were there',
        f'{tmp_path}/copy: 3 videos, 6 windows; 1 of them are not in {store.folder}',
    ]
    view = VideoStore(tmp_path / 'copy').view()
    same = store.view().find(str(tmp_path / 'b'))
    found = view.read_video(view.find(same.path).number)
    assert found.checksum == store.view().read_video(same.number).checksum
    (path,) = store.folder.glob('segments/*/frames')
    path.write_bytes(bytes(path.stat().st_size))
    code, out, _ = run('copy', '--to', tmp_path / 'other')
    assert (code, sum(line.startswith('damaged: ') for line in out.splitlines())) == (1, 2)


@pytest.mark.parametrize(
    'args', [['export'], ['copy'], ['info', '--to', 'a.npz'], ['info', '--drop'], []]
)
def test_wrong_arguments(run, args):
    with pytest.raises(SystemExit) as stop:
        run(*args)
    assert stop.value.code == 2


def test_an_index_in_milvus_is_refused(tool, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main(['http://localhost:19530', 'info'])
    assert stop.value.code == 2
    assert 'http://localhost:19530 is in Milvus' in capsys.readouterr().err


def test_a_folder_without_an_index(tool, tmp_path, capsys):
    assert tool.main([str(tmp_path), 'info']) == 1
    assert 'is no index' in capsys.readouterr().err
