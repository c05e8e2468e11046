"""Videos opened and decoded by presentation time, inside a data set."""

import numpy as np
import pytest
from mmaction.registry import TRANSFORMS

from ts2net_mm.datasets import UnreadableVideoError
from ts2net_mm.datasets.transforms.sample_frames import frames_by_rate, frames_by_time
from ts2net_mm.datasets.transforms.video_decoding import VideoInit

SAMPLE = dict(type='SampleFramesByRate', num_frames=3)


def test_constant_rates_give_the_frames_of_decord(write_video, make_dataset):
    for number in range(3):
        write_video(f'{number}.mp4', num_frames=12 * (number + 1))
    annotation = {f'{number}.mp4': ['x'] for number in range(3)}
    ours = make_dataset(annotation, (dict(type='VideoInit'), SAMPLE, dict(type='VideoDecode')))
    also = (dict(type='VideoInit', decoder='decord'), SAMPLE, dict(type='VideoDecode'))
    theirs = (dict(type='DecordInit'), SAMPLE, dict(type='DecordDecode'))
    for pipeline in (also, theirs):
        expected = make_dataset(annotation, pipeline)
        for index in (0, 2, 1):
            for key in ('imgs', 'frame_inds', 'total_frames', 'avg_fps', 'img_shape'):
                np.testing.assert_array_equal(ours[index][key], expected[index][key])


def test_mmactions_decoding_serves_as_well(write_video, make_dataset):
    write_video('a.mp4')
    items = [
        make_dataset({'a.mp4': ['x']}, (dict(type='VideoInit'), SAMPLE, dict(type=decode)))[0]
        for decode in ('VideoDecode', 'DecordDecode')
    ]
    np.testing.assert_array_equal(items[0]['imgs'], items[1]['imgs'])


@pytest.mark.parametrize(('start', 'end'), [(None, None), (1, None), (0.5, 2), (2, 2.5)])
@pytest.mark.parametrize('frame_rate', [1, 3])
def test_both_rules_agree_where_the_rate_is_constant(start, end, frame_rate):
    part = dict(frame_rate=frame_rate, start=start, end=end)
    by_rate = frames_by_rate(48, 12, **part)
    by_time = frames_by_time(np.arange(49) / 12, **part)
    np.testing.assert_array_equal(by_time, by_rate)


def test_the_frame_that_is_shown():
    # one frame until second 2.5, ten more until 3.5, and the last for two seconds
    times = np.array([0, *np.arange(2.5, 3.5, 0.1), 3.5, 5.5])
    assert frames_by_time(times).tolist() == [0, 0, 0, 6, 11, 11]
    assert frames_by_time(times, start=3).tolist() == [6, 11, 11]
    late = np.array([1.5, 2, 2.5])
    assert frames_by_time(late).tolist() == [0, 0, 1]


def test_reasons_come_from_the_helper(make_dataset, videos):
    (videos / 'text.mp4').write_text('no video')
    dataset = make_dataset({'text.mp4': ['x']}, (dict(type='VideoInit'), SAMPLE))
    with pytest.raises(UnreadableVideoError, match='it is damaged or no video'):
        dataset[0]


def test_settings():
    init = TRANSFORMS.build(dict(type='VideoInit', timeout=7.5, num_threads=2))
    assert repr(init) == (
        "VideoInit(decoder='pyav', timeout=7.5, num_threads=2, square_pixels=False)"
    )
    for settings, message in (
        (dict(decoder='opencv'), "decoder='opencv' is unknown"),
        (dict(timeout=0), 'timeout=0 must be positive'),
        (dict(decoder='decord', square_pixels=True), "square_pixels=True needs decoder='pyav'"),
    ):
        with pytest.raises(ValueError, match=message):
            VideoInit(**settings)
