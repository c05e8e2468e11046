"""tools/data/compress_videos.py and check_videos.py from the command line."""

import json
import os
import signal
import sys
from pathlib import Path

import decord
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(miniatures, tmp_path):
    folder = tmp_path / 'in'
    for name in ('a.avi', 'b.webm', 'sub/c d.mp4'):
        miniatures.render_video(folder / name, 2)
    return folder


@pytest.fixture
def compress(load_tool, tmp_path, capsys):
    def run(source, *args):
        tool = load_tool('data/compress_videos.py')
        code = tool.main([str(source), str(tmp_path / 'out'), '--jobs', '2', *args])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def check(load_tool, capsys):
    def run(*args):
        code = load_tool('data/check_videos.py').main([*map(str, args), '--jobs', '2'])
        return code, *capsys.readouterr()

    return run


def test_compress_and_continue(compress, source, tmp_path):
    out = tmp_path / 'out'
    assert compress(source) == (0, f'{out}: 3 videos; 3 were to do, 0 failed\n', '')
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob('*.*')) == [
        'a.mp4',
        'b.mp4',
        'compression.json',
        'sub/c d.mp4',
    ]
    assert decord.VideoReader(str(out / 'sub/c d.mp4')).get_avg_fps() == pytest.approx(3)
    (out / 'a.mp4').unlink()
    old = (out / 'b.mp4').stat().st_mtime_ns
    assert compress(source)[1] == f'{out}: 3 videos; 1 were to do, 0 failed\n'
    assert (out / 'b.mp4').stat().st_mtime_ns == old


def test_failures_are_named_and_tried_again(compress, source, tmp_path, miniatures):
    (source / 'bad.mp4').write_text('no video')
    (source / 'list.txt').touch()
    miniatures.render_video(source / 'a.mp4', 1)
    code, out, err = compress(source)
    assert code == 1
    assert out == (
        f'{tmp_path}/out: 4 videos; 5 were to do, 1 failed\n'
        '1 files are no videos by their ending: .txt (1)\n'
    )
    assert (tmp_path / 'out/a.avi.mp4').is_file()
    assert (tmp_path / 'out/a.mp4.mp4').is_file()
    lines = err.splitlines()
    assert lines[0] == 'failed:'
    assert lines[1].startswith('  bad.mp4: ffmpeg failed: ')
    listed = (tmp_path / 'out/failed_videos.txt').read_text().splitlines()
    assert listed == [line.strip() for line in lines[1:]]
    (source / 'bad.mp4').unlink()
    (source / 'a.mp4').unlink()
    assert compress(source)[0] == 0
    assert not (tmp_path / 'out/failed_videos.txt').exists()


def hanging_ffmpeg(tmp_path):
    """A program that starts to write and hangs; returns its folder."""
    program = tmp_path / 'bin' / 'ffmpeg'
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\nfor last; do :; done\necho x > "${last#file:}"\nexec sleep 100\n'
    )
    program.chmod(0o755)
    return str(program.parent)


def test_a_hanging_ffmpeg(compress, source, tmp_path, monkeypatch):
    path = f'{hanging_ffmpeg(tmp_path)}{os.pathsep}{os.environ["PATH"]}'
    monkeypatch.setenv('PATH', path)
    code, out, err = compress(source, '--timeout', '0.5')
    assert code == 1
    assert '3 were to do, 3 failed' in out
    assert '  a.avi: no answer within 0.5 seconds\n' in err
    assert not list((tmp_path / 'out').glob('**/*.mp4'))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='looks at /proc')
@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped(stop_program, source, tmp_path, how):
    out = tmp_path / 'out'
    code, errors = stop_program(
        [ROOT / 'tools/data/compress_videos.py', source, out, '--jobs', '2'],
        how,
        when=lambda: len(list(out.glob('.unfinished/*.mp4'))) == 2,
        path=hanging_ffmpeg(tmp_path),
    )
    if how == signal.SIGINT:
        assert code == 130
        assert errors == 'interrupted; the same command continues where this one stopped\n'
        assert [path.name for path in out.iterdir()] == ['compression.json']
    assert not list(out.glob('*.mp4'))
    assert 'Traceback' not in errors


@pytest.fixture
def annotation(source, tmp_path):
    (tmp_path / 'videos').symlink_to(source)
    path = tmp_path / 'train.json'
    path.write_text(json.dumps({name: ['x'] for name in ('a.avi', 'b.webm', 'sub/c d.mp4')}))
    return path


def test_all_good(check, annotation, source):
    code, out, err = check(annotation)
    assert (code, err) == (0, '')
    assert out.splitlines() == [
        '3 videos, 0 bad',
        'frames per second: 4 (3)',
        'seconds: 2 to 2, mean 2, median 2',
        'frames: 8 to 8, mean 8, median 8',
        'shorter side, pixels: 48 to 48, mean 48, median 48',
        'videos with fewer than 12 frames at one per second (padded): 3',
    ]
    assert check(annotation, annotation, '--videos', source)[1] == out
    assert (
        'than 2 frames at one per second (padded): 0' in check(annotation, '--num-frames', '2')[1]
    )


@pytest.mark.slow
def test_bad_ones_are_named(check, annotation, source, tmp_path):
    (source / 'b.webm').write_text('no video')
    (source / 'sub/c d.mp4').unlink()
    os.mkfifo(source / 'sub/c d.mp4')  # reading it hangs
    code, out, err = check(annotation, '--timeout', '3')
    assert code == 1
    assert out.startswith('3 videos, 2 bad\nframes per second: 4 (1)\n')
    assert err.splitlines() == [
        'bad videos:',
        f'  {tmp_path}/videos/b.webm: it is damaged or no video',
        f'  {tmp_path}/videos/sub/c d.mp4: no answer within 3 seconds',
    ]
    assert check(annotation, '--min-seconds', '3', '--timeout', '3')[1] == '3 videos, 3 bad\n'
