"""Two thousand damaged files: each is read, or gives a reason in one line, without a crash."""

import random
import re
from collections import Counter

import pytest

from ts2net_mm.datasets import UnreadableVideoError
from ts2net_mm.preparation.checking import Checker, VideoToCheck
from ts2net_mm.utils.workers import Failure
from ts2net_mm.video import guarded_reader

from .conftest import H264

pytestmark = pytest.mark.slow

FILES = 2000
SECONDS = 20.0
SHORT = ('-frames:v', '40')
SOURCES = {
    'a.mp4': H264,
    'a.mkv': (*H264, '-bf', '2'),
    'b.mp4': ('-c:v', 'libx265', '-x265-params', 'log-level=error', '-pix_fmt', 'yuv420p'),
    'c.mp4': ('-c:v', 'mpeg4', '-bf', '2'),
    'a.avi': ('-c:v', 'mpeg4', '-bf', '2'),
    'b.avi': ('-c:v', 'mjpeg'),
    'a.webm': ('-c:v', 'libvpx', '-b:v', '1M'),
    'b.webm': ('-c:v', 'libvpx-vp9', '-b:v', '1M', '-cpu-used', '8'),
    'a.ts': H264,
    'a.mpg': ('-c:v', 'mpeg2video', '-bf', '2'),
    'a.wmv': ('-c:v', 'wmv2'),
    'a.flv': ('-c:v', 'flv1'),
    'a.ogv': ('-c:v', 'libtheora'),
    'a.gif': (),
}
# all reasons
REASONS = (
    'it is damaged or no video',
    'it is damaged: frames cannot be decoded',
    'it has no frames that can be decoded',
    r'it has no video stream \(audio only\?\)',
    'it is a picture',
    'FFmpeg does not know its video codec',
    'the file is empty',
    'it is damaged: its times span [0-9,]+ seconds',
)


def damage(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """Flip bytes, remove the end or a part, or insert a part of another file."""
    data = bytearray(content)
    how = draw.choice(['flip', 'flip few', 'head', 'cut', 'hole', 'splice'])
    place = draw.randrange(len(data))
    size = draw.randrange(1, 5000)
    if how == 'cut':
        return bytes(data[:place])
    if how == 'hole':
        return bytes(data[:place] + data[place + size :])
    if how == 'splice':
        start = draw.randrange(len(other))
        return bytes(data[:place] + other[start : start + size] + data[place:])
    count = {'flip': len(data) // 100, 'flip few': 3, 'head': 20}[how]
    limit = min(len(data), 2000) if how == 'head' else len(data)
    for _ in range(count):
        data[draw.randrange(limit)] = draw.randrange(256)
    return bytes(data)


def test_damaged_files(painted, videos, make_dataset):
    """Seeds 0 to 1999; the check of the data preparation gives the results of training."""
    sources = {
        name: painted(f'short_{name}', *SHORT, *arguments).read_bytes()
        for name, arguments in SOURCES.items()
    }
    steps = (
        dict(type='VideoInit', timeout=SECONDS),
        dict(type='SampleFramesByRate', num_frames=4),
        dict(type='VideoDecode'),
    )
    check = Checker(num_frames=4, timeout=SECONDS)
    paths = []
    for seed in range(FILES):
        draw = random.Random(seed)
        name, other = draw.choice(list(sources)), draw.choice(list(sources))
        paths.append(videos / f'{seed}_{name}')
        paths[-1].write_bytes(damage(sources[name], sources[other], draw))
    dataset = make_dataset({path.name: ['x'] for path in paths}, steps, on_bad_video='error')
    outcomes: Counter[str] = Counter()
    helpers = set()
    for seed, path in enumerate(paths):
        checked = check(VideoToCheck(path.name, path))
        try:
            item = dataset[seed]
        except UnreadableVideoError as error:
            assert checked == Failure(error.reason), seed
            assert re.fullmatch('|'.join(REASONS), error.reason), (seed, error.reason)
            outcomes[error.reason] += 1
        else:
            assert (checked.frames, checked.height) == (item['total_frames'], item['img_shape'][0])
            outcomes['read'] += 1
        helpers.add(guarded_reader._helper().process.pid)
    print(outcomes)
    assert len(helpers) == 1  # no file crashed the decoder or made it hang
    assert outcomes['read'] > FILES / 4
