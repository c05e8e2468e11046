"""Each kind of odd or damaged video: the table in docs/evidence/robustness.md."""

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from ts2net_mm.datasets import UnreadableVideoError

PIPELINE = (
    dict(type='VideoInit', timeout=60),
    dict(type='SampleFramesByRate', num_frames=4),
    dict(type='VideoDecode'),
    dict(type='CLIPResize', size=32),
    dict(type='FormatShape', input_format='NCHW'),
)


def write(path: Path, **settings) -> None:
    script = Path(__file__).with_name('write_odd_video.py')
    subprocess.run([sys.executable, script, path, json.dumps(settings)], check=True)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_truncated(path: Path, codec: str = 'mpeg4') -> None:
    write(path, frames=120, codec=codec)
    truncate(path)


UNEVEN = sorted({37 * number**2 % 5000 for number in range(30)})[:24]
READABLE = {
    'one frame': ('a.mp4', dict(frames=1)),
    'variable frame rate': ('a.mp4', dict(milliseconds=UNEVEN)),
    'odd size': ('a.mp4', dict(size=(65, 47))),
    'wide': ('a.mp4', dict(size=(640, 18))),
    'tall': ('a.mp4', dict(size=(66, 640))),
    '8K wide': ('a.mp4', dict(size=(7680, 1080), frames=2)),
    **{f'{width} wide': ('a.mp4', dict(size=(width, 64))) for width in (8, 12, 16, 24, 48, 72)},
    '10 bit': ('a.mp4', dict(codec='libx264', pixels='yuv420p10le')),
    'H.265, 10 bit': ('a.mp4', dict(codec='libx265', pixels='yuv420p10le')),
    'AVI': ('a.avi', {}),
    'AVI, MJPEG': ('a.avi', dict(codec='mjpeg', pixels='yuvj420p')),
    'GIF': ('a.gif', dict(codec='gif', pixels='rgb8')),
    'AV1': ('a.mp4', dict(codec='libsvtav1')),
    'WebM, VP9': ('a.webm', dict(codec='libvpx-vp9')),
    'WebM, VP8': ('a.webm', dict(codec='libvpx')),
    'MKV': ('a.mkv', dict(codec='libx264')),
    'MOV': ('a.mov', {}),
    'spaces, quotes, other letters': ('it\'s a "café" $HOME 视频\n;.mp4', {}),
}
# how the file is made, and the reason; more of them in tests/test_video/test_errors.py
UNREADABLE = {
    'truncated MP4': ('a.mp4', write_truncated, 'it is damaged or no video'),
    'folder': ('a.mp4', lambda path: path.mkdir(), 'it is a folder'),
    'picture': (
        'a.gif',
        lambda path: write(path, codec='gif', pixels='rgb8', frames=1),
        'it is a picture',
    ),
}
# reasons of decord for videos that PyAV reads
UNREADABLE_BY_DECORD = {
    'truncated AVI': ('a.avi', write_truncated, 'the decoder crashed on it'),
    'GIF': (
        'a.gif',
        lambda path: write(path, codec='gif', pixels='rgb8'),
        'it states no length (a picture, or damaged)',
    ),
    'AV1': (
        'a.mp4',
        lambda path: write(path, codec='libsvtav1'),
        'it has no video stream (audio only?)',
    ),
    '48 wide': (
        'a.mp4',
        lambda path: write(path, size=(48, 64)),
        'decord cannot read frames of this width (16 or 48 pixels)',
    ),
}


def needs(codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f'this PyAV has no {codec}')


@pytest.mark.parametrize('kind', READABLE)
def test_readable_videos(videos, make_dataset, kind):
    name, settings = READABLE[kind]
    needs(settings.get('codec', 'mpeg4'))
    write(videos / name, **settings)
    item = make_dataset({name: ['x']}, PIPELINE, test_mode=True, on_bad_video='error')[0]
    frames = settings.get('frames', 24)
    assert item['total_frames'] == frames
    assert item['imgs'].shape == (4, 3, 32, 32)
    expected = {'one frame': 1, '8K wide': 1, 'variable frame rate': 4}
    assert item['frame_mask'].sum() == expected.get(kind, 2)
    width, height = settings.get('size', (64, 48))
    assert item['original_shape'] == (height, width)
    # the lower right corner has grey level 10 + 4 i, inside the crop
    levels = item['imgs'][item['frame_mask'], 0, -1, -1].astype(int)
    assert np.abs(levels - (10 + 4 * item['frame_inds'][item['frame_mask']])).max() < 8


@pytest.mark.parametrize('kind', UNREADABLE)
def test_unreadable_videos(videos, make_dataset, kind):
    name, make, reason = UNREADABLE[kind]
    make(videos / name)
    write(videos / 'good.mp4')
    annotation = {name: ['x'], 'good.mp4': ['y']}
    with pytest.raises(UnreadableVideoError) as caught:
        make_dataset(annotation, PIPELINE, test_mode=True)[0]
    assert str(caught.value) == f'cannot read video {videos / name}: {reason}'

    (record,) = make_dataset(annotation, PIPELINE)[0]['bad_videos']
    assert (record['filename'], record['reason']) == (str(videos / name), reason)
    assert make_dataset(annotation, PIPELINE)[0]['video_id'] == 'good.mp4'


@pytest.mark.parametrize('kind', UNREADABLE_BY_DECORD)
def test_videos_that_decord_cannot_read(videos, make_dataset, kind):
    name, make, reason = UNREADABLE_BY_DECORD[kind]
    if kind == 'AV1':
        needs('libsvtav1')
    make(videos / name)
    decord = (dict(type='GuardedDecordInit'), PIPELINE[1], dict(type='DecordDecode'))
    with pytest.raises(UnreadableVideoError) as caught:
        make_dataset({name: ['x']}, decord, test_mode=True)[0]
    assert caught.value.reason == reason
    assert make_dataset({name: ['x']}, PIPELINE, test_mode=True)[0]['imgs'].shape[0] == 4


@pytest.mark.parametrize(
    ('name', 'codec'), [('a.mkv', 'libx264'), ('a.webm', 'libvpx'), ('a.avi', 'mpeg4')]
)
def test_truncated_streams_are_read_to_their_end(videos, make_dataset, name, codec):
    needs(codec)
    write(videos / name, frames=120, size=(96, 64), codec=codec)
    truncate(videos / name)
    item = make_dataset({name: ['x']}, PIPELINE, on_bad_video='error')[0]
    assert 10 < item['total_frames'] < 110
    assert item['frame_inds'].max() < item['total_frames']
