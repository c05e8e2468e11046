from pathlib import Path

import av
import numpy as np
import pytest

from ts2net_mm.datasets import UnreadableVideoError
from ts2net_mm.datasets.annotation import VideoAnnotation
from ts2net_mm.preparation.checking import (
    Checker,
    VideoFacts,
    VideoToCheck,
    describe_facts,
    videos_to_check,
)
from ts2net_mm.rendered import encode_mp4
from ts2net_mm.utils.workers import Failure


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'a.mp4'
    path.write_bytes(encode_mp4(np.zeros((30, 48, 64, 3), dtype=np.uint8), fps=12))
    return path


def test_what_is_checked():
    annotations = [
        VideoAnnotation('sub/a.webm', ['x']),
        VideoAnnotation('b', ['x'], dict(start=1, end=2.5)),
    ]
    assert videos_to_check(annotations, Path('videos')) == [
        VideoToCheck('sub/a.webm', Path('videos/sub/a.webm')),
        VideoToCheck('b', Path('videos/b.mp4'), 1, 2.5),
    ]


def test_facts(video):
    facts = Checker()(VideoToCheck('a', video))
    assert facts == VideoFacts(frames=30, fps=12, seconds=2.5, width=64, height=48, used_frames=3)
    assert Checker()(VideoToCheck('a', video, 1, 1)).used_frames == 1


@pytest.mark.parametrize(
    ('part', 'reason'),
    [
        (dict(start=3), 'it has no frames between 3 and None seconds (30 frames, 12 a second)'),
        (dict(start=3, end=5), 'it has no frames between 3 and 5 seconds (30 frames, 12 a second)'),
        (dict(), 'too short: 2.50 of 2.6 seconds'),
    ],
)
def test_too_short(video, part, reason):
    assert Checker(min_seconds=2.6)(VideoToCheck('a', video, **part)) == Failure(reason)


def test_unreadable(video, tmp_path):
    def check(path):
        return Checker()(VideoToCheck('a', path)).reason

    assert check(tmp_path / 'absent.mp4') == 'the file does not exist'
    content = video.read_bytes()
    video.write_bytes(b'')
    assert check(video) == 'the file is empty'
    video.write_bytes(content[:500])
    assert check(video) == 'it is damaged or no video'


@pytest.mark.parametrize('decoder', ['pyav', 'decord'])
def test_videos_that_a_training_rejects_are_bad(tmp_path, make_dataset, videos, decoder):
    """A cut AVI was good, as long as its first and last frame could be read."""
    whole = tmp_path / 'whole.avi'
    with av.open(str(whole), 'w') as container:
        stream = container.add_stream('mpeg4', rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for level in range(120):
            image = np.full((48, 64, 3), level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    content = whole.read_bytes()
    steps = (
        dict(type='VideoInit', decoder=decoder),
        dict(type='SampleFramesByRate', num_frames=12),
        dict(type='VideoDecode'),
    )
    for share in (0.3, 0.7, 1):
        path = videos / f'{share}.avi'
        path.write_bytes(content[: round(share * len(content))])
        result = Checker(decoder=decoder)(VideoToCheck('a', path))
        try:
            item = make_dataset({path.name: ['x']}, steps, on_bad_video='error')[0]
        except UnreadableVideoError as error:
            assert result == Failure(error.reason)
        else:
            assert (result.frames, result.fps) == (item['total_frames'], item['avg_fps'])


def test_statistics():
    rates = [25, 25, 25, 29.97, 29.97, 30, 24, 15, 10, 5]
    facts = [
        VideoFacts(300, fps, 300 / fps, 320, 240 + n, min(10 + n, 12))
        for n, fps in enumerate(rates)
    ]
    assert describe_facts(facts, 12) == [
        'frames per second: 25 (3), 29.97 (2), 30 (1), 24 (1), 15 (1), others (2)',
        'seconds: 10 to 60, mean 18.85, median 12',
        'frames: 300 to 300, mean 300, median 300',
        'shorter side, pixels: 240 to 249, mean 244.5, median 244.5',
        'videos with fewer than 12 frames at one per second (padded): 2',
    ]
    assert describe_facts([], 12) == []
