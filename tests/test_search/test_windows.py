"""Windows of long videos, read from real files whose frames show their time."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from ts2net_mm.rendered import encode_mp4
from ts2net_mm.search.windows import MAX_WINDOWS, Part, Windowing, WindowReader, default_windowing
from ts2net_mm.utils.workers import Failure

SAMPLE = dict(type='SampleFramesByRate', num_frames=4, frame_rate=2)
PACK = [
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'frame_mask'), meta_keys=()),
]
PIPELINES = dict(
    pyav=[dict(type='VideoInit'), SAMPLE, dict(type='VideoDecode'), *PACK],
    decord=[dict(type='GuardedDecordInit'), SAMPLE, dict(type='DecordDecode'), *PACK],
    efficient=[
        dict(type='GuardedDecordInit'),
        SAMPLE,
        dict(type='DecordDecode', mode='efficient'),
        *PACK,
    ],
    uniform=[
        dict(type='VideoInit'),
        dict(type='UniformSample', clip_len=4, test_mode=True),
        dict(type='VideoDecode'),
        *PACK[:1],
        dict(type='PackActionInputs', collect_keys=('imgs',), meta_keys=()),
    ],
)


def shades(num_frames):
    """Frames of one grey each, which grows by two a frame."""
    values = (2 * np.arange(num_frames, dtype=np.uint8)).reshape(-1, 1, 1, 1)
    return np.broadcast_to(values, (num_frames, 32, 32, 3)).copy()


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    """A video of 20 seconds at 6 frames a second."""
    path = tmp_path_factory.mktemp('windows') / 'long.mp4'
    path.write_bytes(encode_mp4(shades(120), fps=6))
    return str(path)


def frame_numbers(item):
    return (item['inputs']['imgs'].mean(axis=(1, 2, 3)) / 2).round().astype(int)


@pytest.mark.parametrize(
    ('duration', 'expected'),
    [
        (3.0, [(0, 3)]),
        (20.0, [(0, 20)]),
        (20.5, [(0, 10), (5, 15), (10, 20), (10.5, 20.5)]),
        (30.0, [(0, 10), (5, 15), (10, 20), (15, 25), (20, 30)]),
        (float('nan'), None),
    ],
)
def test_spans(duration, expected):
    spans = Windowing(10, 5).spans(duration)
    if expected is None:
        assert len(spans) == 1
    else:
        assert spans == expected


def test_spans_cover_the_video_without_gaps():
    rng = np.random.default_rng(0)
    for _ in range(300):
        window = rng.uniform(0.5, 20)
        windowing = Windowing(window, rng.uniform(0.1, 1) * window)
        duration = float(rng.uniform(0.1, 200))
        spans = windowing.spans(duration)
        assert spans[0][0] == 0
        assert spans[-1][1] == pytest.approx(duration, abs=1e-5)
        for (start, end), (following, _) in zip(spans, spans[1:], strict=False):
            assert start < following <= end
            assert end - start == pytest.approx(window, abs=1e-5)


@pytest.mark.parametrize(
    ('window', 'stride'), [(0, 0), (-1, 1), (2, 3), (float('inf'), 1), (2, -1)]
)
def test_wrong_windows(window, stride):
    with pytest.raises(ValueError, match='expected positive numbers'):
        Windowing(window, stride)


def test_default_windows_hold_the_frames_of_the_model():
    assert default_windowing(PIPELINES['pyav']) == Windowing(2.0, 1.0)
    assert default_windowing(PIPELINES['uniform']) == Windowing(4.0, 2.0)
    assert default_windowing([dict(type='VideoInit'), dict(type='SampleFrames')]) is None


@pytest.mark.parametrize('kind', sorted(PIPELINES))
def test_a_window_has_the_frames_of_its_time(video, kind):
    reader = WindowReader(pipeline=PIPELINES[kind], windowing=Windowing(4.0, 3.0))
    found = reader(Part(video))
    assert found.duration == pytest.approx(20)
    starts = [start for start, _ in found.spans]
    assert starts == [0, 3, 6, 9, 12, 15, 16]
    for start, item in zip(starts, found.items, strict=True):
        seconds = item['frame_seconds']
        np.testing.assert_array_equal(frame_numbers(item), (6 * seconds).round())
        assert start <= seconds.min()
        assert seconds.max() < start + 4
        if kind != 'uniform':
            np.testing.assert_allclose(seconds, start + np.array([0, 1, 2, 3.5]), atol=1e-4)


def test_a_whole_video_is_read_as_the_pipeline_reads_it(video):
    reader = WindowReader(pipeline=PIPELINES['pyav'], windowing=None)
    (item,) = reader(Part(video)).items
    np.testing.assert_allclose(item['frame_seconds'], [0, 6.5, 13, 19.5], atol=1e-4)


def test_long_videos_are_read_in_parts(video):
    reader = WindowReader(pipeline=PIPELINES['pyav'], windowing=Windowing(1.0, 0.5))
    first = reader(Part(video))
    assert (len(first.spans), len(first.items)) == (39, MAX_WINDOWS)
    parts = [first, *map(reader, first.following(video))]
    items = [item for part in parts for item in part.items]
    assert len(items) == 39
    for (start, _), item in zip(first.spans, items, strict=True):
        assert item['frame_seconds'][0] == pytest.approx(start, abs=1e-4)


def test_frames_of_overlapping_windows_are_decoded_once(video, monkeypatch):
    from ts2net_mm.video import GuardedVideoReader

    decoded = []
    get_batch = GuardedVideoReader.get_batch
    monkeypatch.setattr(
        GuardedVideoReader,
        'get_batch',
        lambda self, numbers: decoded.extend(numbers) or get_batch(self, numbers),
    )
    WindowReader(pipeline=PIPELINES['pyav'], windowing=Windowing(2.0, 1.0))(Part(video))
    assert sorted(decoded) == sorted(set(decoded))


def test_folders_of_pictures(tmp_path):
    for number, frame in enumerate(shades(60), start=3):
        cv2.imwrite(str(tmp_path / f'img_{number:05}.jpg'), frame)
    pipeline = [dict(type='FrameFolderInit', fps=6), SAMPLE, dict(type='RawFrameDecode'), *PACK]
    found = WindowReader(pipeline=pipeline, windowing=Windowing(2.0, 2.0))(Part(str(tmp_path)))
    assert found.spans == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    for (start, _), item in zip(found.spans, found.items, strict=True):
        np.testing.assert_allclose(item['frame_seconds'], start + np.arange(4) / 2)
        np.testing.assert_array_equal(frame_numbers(item), 6 * start + 3 * np.arange(4))


def test_variable_rates_are_cut_by_time(tmp_path):
    """The first half of the frames takes 2 of 20 seconds."""
    path = tmp_path / 'variable.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=30)
        stream.width = stream.height = 32
        stream.pix_fmt = 'bgr0'
        for number, picture in enumerate(shades(120)):
            frame = av.VideoFrame.from_ndarray(picture, 'rgb24')
            seconds = number / 30 if number < 60 else 2 + (number - 60) * 0.3
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    reader = WindowReader(pipeline=PIPELINES['pyav'], windowing=Windowing(4.0))
    found = reader(Part(str(path)))
    for (start, end), item in zip(found.spans, found.items, strict=True):
        times = item['frame_seconds']
        assert start - 0.3 <= times[0] <= times[-1] < end
        expected = np.where(times < 2, times * 30, 60 + (times - 2) / 0.3).round()
        np.testing.assert_array_equal(frame_numbers(item), expected)


def test_unreadable_videos_give_their_reason(tmp_path):
    reader = WindowReader(pipeline=PIPELINES['pyav'], windowing=Windowing(4.0))
    (tmp_path / 'bad.mp4').write_text('no video')
    assert reader(Part(str(tmp_path / 'bad.mp4'))) == Failure('it is damaged or no video')
    missing = reader(Part(str(tmp_path / 'missing.mp4')))
    assert missing == Failure('the file does not exist')
    assert not missing.is_final
