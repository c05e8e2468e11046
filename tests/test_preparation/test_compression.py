import os
import subprocess
import sys
from types import ModuleType

import av
import cv2
import decord
import numpy as np
import pytest

from ts2net_mm.preparation.compression import (
    Compression,
    Compressor,
    find_ffmpeg,
    plan_compression,
)
from ts2net_mm.utils.workers import Failure
from ts2net_mm.video.reader import VideoReader


def write_video(path, seconds=3.0, size=(64, 48), sound=None, codec='mpeg4'):
    """Write a video of 10 frames a second, each brighter than the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'
        audio = container.add_stream('aac', rate=8000) if sound else None
        for number in range(round(seconds * 10)):
            image = np.full((size[1], size[0], 3), 20 + number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
        if audio:
            for number in range(round(sound * 8)):
                frame = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1000), dtype=np.float32), format='fltp', layout='mono'
                )
                frame.sample_rate, frame.pts = 8000, number * 1000
                container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return path


@pytest.fixture
def compress(tmp_path):
    """Function that compresses one video."""

    def run(source, **settings):
        target = tmp_path / 'out' / 'sub' / f'{source.stem}.mp4'
        with Compressor(find_ffmpeg(), tmp_path / 'out', **settings).opened() as compressor:
            result = compressor(Compression(source, target))
            assert not list((tmp_path / 'out' / '.unfinished').iterdir())
        assert target.exists() == (result == target)
        return result

    return run


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((320, 240), (149, 112)),
        ((240, 320), (112, 149)),
        ((240, 240), (112, 112)),
        ((66, 50), (66, 50)),
    ],
)
def test_size_and_rate(compress, tmp_path, size, expected):
    reader = decord.VideoReader(
        str(compress(write_video(tmp_path / 'a b:c.avi', size=size), short_side=112))
    )
    height, width = reader[0].shape[:2]
    assert width == pytest.approx(expected[0], abs=1)
    assert height == pytest.approx(expected[1], abs=1)
    assert width % 2 == height % 2 == 0
    assert reader.get_avg_fps() == pytest.approx(3)
    assert len(reader) == pytest.approx(9, abs=1)


def test_frames_are_those_of_their_time(compress, tmp_path):
    result = compress(write_video(tmp_path / 'a.mp4', seconds=6), fps=2)
    reader = decord.VideoReader(str(result))
    levels = reader.get_batch(range(12)).asnumpy().mean(axis=(1, 2, 3))
    assert np.abs(levels - (20 + 5 * np.arange(12))).max() <= 4


def test_sound_is_left_out_even_if_it_is_longer(compress, tmp_path):
    result = compress(write_video(tmp_path / 'a.mp4', seconds=3, sound=9))
    with av.open(str(result)) as container:
        assert [stream.type for stream in container.streams] == ['video']


@pytest.mark.parametrize(
    ('ratio', 'size', 'expected'),
    [('4/3', (72, 60), (96, 60)), ('1/2', (120, 60), (60, 60)), ('16/11', (352, 288), (198, 112))],
)
def test_pixels_become_square(compress, tmp_path, ratio, size, expected):
    video = write_video(tmp_path / 'a.mp4', size=size)
    path = tmp_path / 'b.mkv'
    filters = ['-vf', f'setsar={ratio}']
    command = [find_ffmpeg(), '-loglevel', 'error', '-i', video, *filters, path]
    subprocess.run(command, check=True)
    with VideoReader(str(compress(path, short_side=112)), square_pixels=True) as reader:
        height, width = reader.get_frames([0]).shape[1:3]
        assert (width, height) == pytest.approx(expected, abs=2)


def test_late_videos_start_late(compress, tmp_path):
    """The first picture stands still until then, as a training sees it in the whole video."""
    video = write_video(tmp_path / 'a.mp4', seconds=6)
    path = tmp_path / 'late.mp4'
    sound = ['-f', 'lavfi', '-i', 'sine=duration=8']
    command = [find_ffmpeg(), '-loglevel', 'error', *sound, '-itsoffset', '2', '-i', video]
    subprocess.run([*command, '-c:v', 'copy', '-map', '0', '-map', '1', path], check=True)
    with VideoReader(str(compress(path, fps=2))) as reader:
        levels = reader.get_frames(range(16)).mean(axis=(1, 2, 3))
        assert np.abs(levels - (20 + 5 * np.maximum(np.arange(16) - 4, 0))).max() <= 4
    with VideoReader(str(path)) as reader:
        numbers = [reader.frame_at(second / 2) for second in range(16)]
        assert np.abs(reader.get_frames(numbers).mean(axis=(1, 2, 3)) - levels).max() <= 4


def boxes(content):
    """The boxes that a part of an MP4 consists of."""
    found = []
    while content:
        size = int.from_bytes(content[:4], 'big')
        found.append(content[:size])
        content = content[size:]
    return found


def test_a_cover_picture_before_the_video(compress, tmp_path):
    """As in files that state their tags, and the cover with them, before their tracks."""
    video, cover = write_video(tmp_path / 'a.mp4', seconds=6), tmp_path / 'cover.png'
    cv2.imwrite(str(cover), np.full((64, 64, 3), 255, dtype=np.uint8))
    path = tmp_path / 'b.mp4'
    streams = ['-map', '0', '-map', '1', '-c', 'copy', '-disposition:v:0', 'attached_pic']
    command = [find_ffmpeg(), '-loglevel', 'error', '-i', cover, '-i', video, *streams, path]
    subprocess.run(command, check=True)
    *data, movie = boxes(path.read_bytes())
    header, *tracks, tags = boxes(movie[8:])
    assert (movie[4:8], tags[4:8]) == (b'moov', b'udta')
    path.write_bytes(b''.join([*data, movie[:8], header, tags, *tracks]))
    with av.open(str(path)) as container:
        assert [one.codec_context.name for one in container.streams] == ['png', 'mpeg4']

    reader = decord.VideoReader(str(compress(path, fps=2)))
    levels = reader.get_batch(range(12)).asnumpy().mean(axis=(1, 2, 3))
    assert np.abs(levels - (20 + 5 * np.arange(12))).max() <= 4


@pytest.mark.parametrize('frames', [1, 2, 4])
def test_very_short_videos(compress, tmp_path, frames):
    result = compress(write_video(tmp_path / 'a.mp4', seconds=frames / 10))
    assert len(decord.VideoReader(str(result))) >= 1


def test_reasons(compress, tmp_path):
    path = tmp_path / 'a.mp4'
    path.write_text('no video')
    reason = compress(path).reason
    assert reason.startswith('ffmpeg failed: ')
    assert 'Invalid data' in reason or 'moov atom' in reason
    assert str(path) not in reason
    assert 'No such file' in compress(tmp_path / 'absent.mp4').reason
    os.mkfifo(tmp_path / 'pipe.mp4')
    assert compress(tmp_path / 'pipe.mp4').reason == 'it is no regular file'


def test_a_cut_video_fails(compress, tmp_path):
    path = tmp_path / 'whole.mkv'
    write_video(path, seconds=20, size=(320, 240))
    content = path.read_bytes()
    (tmp_path / 'cut.mkv').write_bytes(content[: len(content) // 2])
    result = compress(tmp_path / 'cut.mkv')
    assert isinstance(result, Failure)
    assert 'of 20.0 seconds could be read' in result.reason


def stand_in(tmp_path, script):
    """A program to run in the place of ffmpeg."""
    program = tmp_path / 'ffmpeg'
    program.write_text(f'#!/bin/sh\n{script}\n')
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ('script', 'reason'),
    [
        ('exit 3', 'ffmpeg failed with exit code 3'),
        ('echo "[aac @ 0x55e] [fatal] bad thing" >&2; exit 1', 'ffmpeg failed: bad thing'),
        ('kill -9 $$', 'ffmpeg was killed by signal 9'),
        ('exit 0', 'the result is unreadable: the file does not exist'),
        ('for last; do :; done; echo x > "${last#file:}"', 'the result is unreadable: it is dam'),
    ],
)
def test_when_ffmpeg_fails(tmp_path, script, reason):
    with Compressor(stand_in(tmp_path, script), tmp_path / 'out').opened() as compressor:
        result = compressor(Compression(tmp_path / 'a.mp4', tmp_path / 'out' / 'a.mp4'))
    assert result.reason.startswith(reason)
    assert not (tmp_path / 'out' / 'a.mp4').exists()


def test_settings_and_unfinished_files_of_a_folder(tmp_path):
    left = tmp_path / '.unfinished' / '1.mp4'
    for _ in range(2):
        left.parent.mkdir()
        left.touch()
        with Compressor('ffmpeg', tmp_path).opened():
            assert not left.exists()
            left.parent.mkdir()
        assert not left.parent.exists()

    def open_with(**settings):
        with Compressor('ffmpeg', tmp_path, **settings).opened():
            pass

    message = r"json: created with {'fps': 3, .*224}, but {'fps': 4, 'sho"
    with pytest.raises(ValueError, match=message):
        open_with(fps=4)
    (tmp_path / 'compression.json').write_text('{')
    with pytest.raises(ValueError, match=r'compression\.json: created with invalid JSON'):
        open_with()


def test_plan(tmp_path):
    source, target = tmp_path / 'in', tmp_path / 'out'
    names = ('sub/a.webm', 'b_00.54.129.avi', 'c.', 'd.null', 'e.3gpp', 'done.mov', 'f.txt', 'g')
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    target.mkdir()
    (target / 'done.mp4').touch()
    plan = plan_compression(source, target)
    assert plan.videos == [
        Compression(source / 'b_00.54.129.avi', target / 'b_00.54.129.mp4'),
        Compression(source / 'c.', target / 'c.mp4'),
        Compression(source / 'd.null', target / 'd.mp4'),
        Compression(source / 'e.3gpp', target / 'e.mp4'),
        Compression(source / 'sub/a.webm', target / 'sub/a.mp4'),
    ]
    assert plan.ignored == {'.txt': 1, '': 1}


def test_videos_that_differ_in_the_extension_only(tmp_path):
    source, target = tmp_path / 'in', tmp_path / 'out'
    source.mkdir()
    for name in ('a.avi', 'a.mov', 'a.mov.mp4', 'b.avi'):
        (source / name).touch()
    plan = plan_compression(source, target)
    assert {item.source.name: item.target.name for item in plan.videos} == {
        'a.avi': 'a.avi.mp4',
        'a.mov': 'a.mov.mp4',
        'a.mov.mp4': 'a.mov.mp4.mp4',
        'b.avi': 'b.mp4',
    }


def test_bad_folders(tmp_path):
    (tmp_path / 'in').mkdir()
    with pytest.raises(FileNotFoundError, match='there is no video file in .*/in or below'):
        plan_compression(tmp_path / 'in', tmp_path / 'out')
    for target in (tmp_path / 'in', tmp_path / 'in' / 'small'):
        with pytest.raises(
            ValueError, match='is inside .*/in: its videos would be found as sources'
        ):
            plan_compression(tmp_path / 'in', target)


def test_where_ffmpeg_is(tmp_path, monkeypatch):
    program = stand_in(tmp_path, 'exit 0')
    monkeypatch.setenv('PATH', str(tmp_path))
    assert find_ffmpeg() == program
    monkeypatch.setenv('PATH', '')
    package = ModuleType('imageio_ffmpeg')
    package.get_ffmpeg_exe = lambda: 'from the package'
    monkeypatch.setitem(sys.modules, 'imageio_ffmpeg', package)
    assert find_ffmpeg() == 'from the package'
    monkeypatch.setitem(sys.modules, 'imageio_ffmpeg', None)
    with pytest.raises(FileNotFoundError, match='not in PATH; install it, or: pip install imageio'):
        find_ffmpeg()
