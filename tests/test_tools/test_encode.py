"""tools/encode.py from the command line, alone and in several processes that are killed."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tiny import ROOT

from ts2net_mm.search import VideoIndex, VideoStore
from ts2net_mm.search.sharing import Share
from ts2net_mm.video.video_files import find_videos

TOOL = ROOT / 'tools/encode.py'


def command(folder, index, *args):
    files = [folder / 'config.py', folder / 'model.pth', folder / 'videos']
    options = ['--index', index, '--device', 'cpu', '--workers', '1']
    return [sys.executable, TOOL, *map(str, [*files, *options, *args])]


@pytest.fixture
def encode(folder, tmp_path, load_tool, capsys):
    tool = load_tool('encode.py')

    def encode(*args, videos=folder / 'videos', index=tmp_path / 'index'):
        files = [folder / 'config.py', folder / 'model.pth', videos, '--index', index]
        code = tool.main([*map(str, [*files, *args]), '--device', 'cpu', '--workers', '1'])
        return code, *capsys.readouterr()

    return encode


def names(index):
    return sorted(os.path.basename(v.path) for v in VideoStore(index).view().encoded_videos())


def test_a_folder_and_then_a_list(encode, folder, tmp_path):
    bad = tmp_path / 'bad.mp4'
    bad.write_text('no video')
    (tmp_path / 'list.txt').write_text(f'{folder}/videos/0.mp4\n\n{bad}\n')
    code, out, err = encode('--window', '3', videos=tmp_path / 'list.txt')
    assert (code, err) == (0, '')
    assert out.splitlines() == [
        '1 videos are in the index, 1 of them encoded now',
        'skipped 1 videos that cannot be read:',
        f'  {bad}: it is damaged or no video',
    ]
    code, out, _ = encode('--window', '3')
    assert (code, out) == (0, '8 videos are in the index, 7 of them encoded now\n')
    view = VideoIndex(tmp_path / 'index').store.view()
    assert view.find(str(folder / 'videos/7.mp4')).num_windows == 7
    assert view.num_windows == 7 + 7


def test_an_index_inside_the_folder_of_videos_is_no_video(encode, folder, tmp_path):
    videos = tmp_path / 'videos'
    shutil.copytree(folder / 'videos', videos)
    (videos / 'notes.txt').write_text('no video')
    for number in (8, 0):
        code, out, _ = encode(videos=videos, index=videos / 'index')
        assert (code, out.splitlines()) == (
            0,
            [
                f'8 videos are in the index, {number} of them encoded now',
                '1 files are not videos: .txt (1)',
            ],
        )


def test_default_windows_of_a_model_without_a_frame_rate(encode, tmp_path):
    """Its six frames are a window of six seconds, which leaves twelve seconds whole."""
    assert encode()[::2] == (0, '')
    description = VideoStore(tmp_path / 'index').description
    assert (description.window, description.stride) == (6.0, 3.0)
    assert VideoStore(tmp_path / 'index').view().num_windows == 8


@pytest.mark.parametrize(
    'args', [['--whole', '--window', '3'], ['--stride', '3'], ['--window', '-1']]
)
def test_wrong_arguments(encode, args):
    with pytest.raises(SystemExit) as stop:
        encode(*args)
    assert stop.value.code == 2


def test_errors_in_one_line(encode, tmp_path):
    (tmp_path / 'empty.txt').touch()
    (tmp_path / 'binary').write_bytes(b'\xff\xfe')
    for videos, message in (
        (tmp_path / 'nowhere', 'does not exist'),
        (tmp_path / 'empty.txt', 'names no video'),
        (tmp_path / 'binary', 'no folder and no list of videos'),
    ):
        code, out, err = encode(videos=videos)
        assert (code, out) == (1, '')
        assert message in err
        assert err.startswith('error: ')
        assert err.count('\n') == 1
    assert not (tmp_path / 'index').exists()  # nothing is left of a failure
    code, _, err = encode(index=tmp_path)
    assert (code, f'{tmp_path} is no index and not empty' in err) == (1, True)
    encode('--whole')
    code, _, err = encode('--whole', '--fp16')
    assert code == 1
    assert 'was made with other settings: layout is' in err


def test_an_index_in_milvus_inside_the_folder_of_videos(encode, folder, tmp_path):
    pytest.importorskip('pymilvus', reason='pymilvus is not installed')
    pytest.importorskip('milvus_lite', reason='milvus-lite is not installed')
    videos = tmp_path / 'videos'
    shutil.copytree(folder / 'videos', videos)
    for number in (8, 0):
        code, out, err = encode('--whole', videos=videos, index=videos / 'gallery.db#name')
        expected = f'8 videos are in the index, {number} of them encoded now\n'
        assert (code, out, err) == (0, expected, '')
    code, _, err = encode('--fp16', '--whole', videos=videos, index=videos / 'gallery.db#name')
    assert (code, 'was made with other settings: layout is' in err) == (1, True)


def test_addresses_of_milvus_that_cannot_be_used(encode, tmp_path, monkeypatch):
    pytest.importorskip('pymilvus', reason='pymilvus is not installed')
    pytest.importorskip('milvus_lite', reason='milvus-lite is not installed')
    database = tmp_path / 'gallery.db'
    (tmp_path / 'file').touch()
    (tmp_path / 'old.db').write_text('SQLite format 3')
    for address, message in (
        (f'{database}#a b', "the name 'a b' in"),
        (tmp_path / 'file/gallery.db', 'is a file'),
        (tmp_path / 'old.db', 'is not of Milvus Lite 3: it is a file'),
    ):
        code, out, err = encode(index=address)
        assert (code, out, message in err, err.count('\n')) == (1, '', True, 1), err
    with monkeypatch.context() as patch:
        patch.setenv('RANK', '0')
        patch.setenv('WORLD_SIZE', '2')
        code, _, err = encode(index=database)
        expected = f'{database} is a file of Milvus Lite, which one process opens, and there are 2'
        assert (code, expected in err) == (1, True)
    monkeypatch.setattr('ts2net_mm.utils.cli.find_spec', lambda name: None)
    for address, missing in (
        (database, 'pymilvus, milvus_lite'),
        ('http://localhost:19530', 'pymilvus'),
    ):
        code, _, err = encode(index=address)
        assert (code, f'the index {address} needs {missing}: pip install' in err) == (1, True)
    assert not database.exists()


@pytest.mark.slow
def test_processes_that_are_killed_lose_little(folder, tmp_path):
    """Three processes, of which one is killed: the others finish, and a second run the rest."""
    index = tmp_path / 'index'
    files = find_videos(folder / 'videos')
    # the paths differ from run to run, and with them the shares, of which one may be empty
    killed = max(range(3), key=lambda rank: len(Share(rank, 3).of(files)))
    processes = [
        subprocess.Popen(
            command(folder, index, '--whole', '--batch-size', '1'),
            env=os.environ | dict(RANK=str(rank), WORLD_SIZE='3'),
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]
    time.sleep(1)
    processes[killed].send_signal(signal.SIGKILL)
    outputs = [process.communicate()[0] for process in processes]
    for rank, (process, output) in enumerate(zip(processes, outputs, strict=True)):
        assert process.returncode == (-signal.SIGKILL if rank == killed else 0)
        if rank != killed:
            assert f'of process {rank} are in the index' in output
    before = names(index) if index.joinpath('index.json').exists() else []
    assert len(before) < 8
    done = subprocess.run(command(folder, index, '--whole'), stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (
        0,
        f'8 videos are in the index, {8 - len(before)} of them encoded now\n',
    )
    assert names(index) == [f'{number}.mp4' for number in range(8)]
    assert VideoStore(index).damaged_videos() == []


@pytest.mark.slow
def test_torchrun_starts_again_what_it_ended(folder, tmp_path):
    """torchrun ends all processes when one is lost; they continue after its restart."""
    index, flag = tmp_path / 'index', tmp_path / 'flag'
    wrapper = tmp_path / 'die_once.py'
    wrapper.write_text(
        'import os, pathlib, runpy, signal, sys, threading\n'
        f'flag = pathlib.Path({str(flag)!r})\n'
        "if os.environ['RANK'] == '1' and not flag.exists():\n"
        '    flag.touch()\n'
        '    threading.Timer(4, os.kill, (os.getpid(), signal.SIGKILL)).start()\n'
        'sys.argv = sys.argv[1:]\n'
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    launch = ['-m', 'torch.distributed.run', '--nproc-per-node', '2', '--max-restarts', '2']
    arguments = command(folder, index, '--whole')[1:]
    done = subprocess.run(
        [sys.executable, *launch, wrapper, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert names(index) == [f'{number}.mp4' for number in range(8)]
