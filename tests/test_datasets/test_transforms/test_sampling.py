"""Which frames are sampled."""

import json
from pathlib import Path

import numpy as np
import pytest

from ts2net_mm.datasets import SampleFramesByRate, UnreadableVideoError
from ts2net_mm.datasets.transforms import ReorderFrames, frames_by_rate, frames_by_time

REFERENCE = json.loads((Path(__file__).parents[2] / 'data' / 'frame_sampling.json').read_text())


def sample(transform: SampleFramesByRate, total_frames: int, fps: float, **fields) -> dict:
    return transform(dict(total_frames=total_frames, avg_fps=fps, filename='a.mp4', **fields))


@pytest.mark.parametrize('case', REFERENCE, ids=str)
def test_released_rule(case):
    transform = SampleFramesByRate(num_frames=case['max_frames'])
    found = sample(
        transform, case['total_frames'], case['fps'], start=case['start'], end=case['end']
    )
    valid = found['frame_mask']
    assert found['frame_inds'][valid].tolist() == case['frames']
    assert valid.tolist() == [True] * len(case['frames']) + [False] * (
        case['max_frames'] - len(case['frames'])
    )


@pytest.mark.parametrize(
    ('fps', 'expected'),
    [
        (30000 / 1001, [290, 319, 348]),  # the released rule, a third of a second early
        (14.99, [149, 164, 179]),  # by time: it would be at second 9.3
        (0.5, [5, 5, 6]),  # and here at second 20
    ],
)
def test_parts_at_fractional_rates(fps, expected):
    found = sample(SampleFramesByRate(num_frames=3), 1000, fps, start=10, end=12)
    assert found['frame_inds'].tolist() == expected


def test_a_short_video_is_padded_with_its_last_frame():
    found = sample(SampleFramesByRate(num_frames=6), 60, 25.0)
    assert found['frame_inds'].tolist() == [0, 25, 50, 50, 50, 50]
    assert found['frame_mask'].tolist() == [True] * 3 + [False] * 3
    assert found['frame_mask'].dtype == bool
    assert found['clip_len'] == 6
    assert found['num_clips'] == 1


@pytest.mark.parametrize(
    ('position', 'expected'),
    [('head', [0, 25, 50]), ('tail', [150, 175, 200]), ('uniform', [0, 100, 200])],
)
def test_which_of_many_frames(position, expected):
    found = sample(SampleFramesByRate(num_frames=3, position=position), 210, 25.0)
    assert found['frame_inds'].tolist() == expected
    short = sample(SampleFramesByRate(num_frames=3, position=position), 40, 25.0)
    assert short['frame_inds'].tolist() == [0, 25, 25]


def reorder(*, video_id: str = 'a', valid: int = 5, **settings) -> list[int]:
    """The places that six frames, of which some are padding, come from."""
    item = dict(
        imgs=[np.full((2, 2, 3), place, np.uint8) for place in range(6)],
        frame_inds=np.arange(0, 60, 10),
        frame_mask=np.arange(6) < valid,
        filename=f'{video_id}.mp4',
        video_id=video_id,
    )
    result = ReorderFrames(**settings)(item)
    places = [int(frame[0, 0, 0]) for frame in result['imgs']]
    assert result['frame_inds'].tolist() == [10 * place for place in places]
    return places


def test_reversed_frames_keep_the_padding_at_the_end():
    assert reorder(order='reversed', valid=6) == [5, 4, 3, 2, 1, 0]
    assert reorder(order='reversed', valid=4) == [3, 2, 1, 0, 4, 5]


def test_the_shuffled_order_depends_on_video_and_seed_alone():
    order = reorder(order='shuffled')
    assert sorted(order[:5]) == [0, 1, 2, 3, 4]
    assert order[5] == 5
    assert reorder(order='shuffled') == order
    others = [reorder(order='shuffled', video_id=str(number)) for number in range(9)]
    seeds = [reorder(order='shuffled', seed=number) for number in range(1, 9)]
    assert len({tuple(places) for places in others}) > 4
    assert len({tuple(places) for places in seeds}) > 4


def test_unknown_positions_and_orders():
    with pytest.raises(ValueError, match="position='middle' is unknown"):
        SampleFramesByRate(position='middle')
    with pytest.raises(ValueError, match="order='random' is unknown"):
        ReorderFrames(order='random')


def test_parts_are_extended_to_whole_seconds():
    whole = frames_by_rate(250, 25, start=2, end=5)
    assert whole.tolist() == [50, 75, 100, 125]
    assert frames_by_rate(250, 25, start=2.9, end=4.1).tolist() == whole.tolist()


@pytest.mark.parametrize(
    ('frame_rate', 'frames'),
    [
        (1, [0, 10, 20]),
        (2, [0, 5, 10, 15, 20]),
        (3, [0, 3, 6, 10, 13, 16, 20, 23]),
        (10, list(range(25))),
        (99, list(range(25))),
    ],
)
def test_frame_rate(frame_rate, frames):
    assert frames_by_rate(25, 10.7, frame_rate=frame_rate).tolist() == frames


def test_less_than_one_frame_per_second():
    assert frames_by_rate(4, 0.5).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize('fps', [0.5, 1, 7, 24.0, 29.97, 60])
@pytest.mark.parametrize('num_frames', [1, 2, 12])
def test_samples_are_ascending_and_within_the_video(fps, num_frames):
    for total in range(1, 200, 7):
        found = sample(SampleFramesByRate(num_frames=num_frames), total, fps)
        frames = found['frame_inds'][found['frame_mask']]
        assert len(found['frame_inds']) == num_frames
        assert frames[0] == 0
        assert (np.diff(frames) > 0).all()
        assert frames[-1] < total


@pytest.mark.parametrize(
    ('total', 'fields', 'message'),
    [
        (0, {}, r'video a\.mp4 has no frames \(0 frames, 25 a second\)'),
        (
            50,
            dict(start=7, end=9.5),
            r'video a\.mp4 has no frames between 7 and 9\.5 seconds \(50 frames, 25 a second\)',
        ),
        (50, dict(start=7), r'video a\.mp4 has no frames between 7 and None seconds'),
    ],
)
def test_no_frames(total, fields, message):
    with pytest.raises(UnreadableVideoError, match=message):
        sample(SampleFramesByRate(), total, 25.0, **fields)


def test_settings():
    transform = SampleFramesByRate(num_frames=3, frame_rate=2)
    assert repr(transform) == 'SampleFramesByRate(num_frames=3, frame_rate=2)'
    for settings in (dict(num_frames=0), dict(frame_rate=0)):
        with pytest.raises(ValueError, match='=0.* must be at least 1'):
            SampleFramesByRate(**settings)


@pytest.mark.parametrize(('start', 'end'), [(None, None), (1, None), (0.5, 2), (2, 2.5)])
@pytest.mark.parametrize('frame_rate', [1, 3])
def test_both_rules_agree_for_a_constant_rate(start, end, frame_rate):
    part = dict(frame_rate=frame_rate, start=start, end=end)
    by_rate = frames_by_rate(48, 12, **part)
    by_time = frames_by_time(np.arange(49) / 12, **part)
    np.testing.assert_array_equal(by_time, by_rate)


def test_variable_rates_give_the_frame_shown_at_each_second():
    # one frame until second 2.5, ten more until 3.5, and the last for two seconds
    times = np.array([0, *np.arange(2.5, 3.5, 0.1), 3.5, 5.5])
    assert frames_by_time(times).tolist() == [0, 0, 0, 6, 11, 11]
    assert frames_by_time(times, start=3).tolist() == [6, 11, 11]
    late = np.array([1.5, 2, 2.5])
    assert frames_by_time(late).tolist() == [0, 0, 1]
