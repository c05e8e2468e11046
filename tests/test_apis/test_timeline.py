import math

import pytest

from ts2net_mm.apis.timeline import Scale, TimelineFrame, make_timeline


def test_bars_reach_from_the_lowest_to_the_highest():
    scale = Scale.from_scores([-0.25, 0.75, 0.0])
    heights = [scale.percent(score) for score in (-0.25, 0.0, 0.75)]
    assert heights == [0, 25, 100]
    assert [scale.percent(score) for score in (-0.5, 1.0)] == [0, 100]  # not among them
    assert Scale.from_scores([0.5, 0.5]).percent(0.5) == 100


@pytest.mark.parametrize('scores', [[0.25, 0.75, 0.5], [0.25, 0.75, 0.75]])
def test_a_timeline(scores):
    seconds = [1.0, math.nan, 3.0]
    first, best, last = make_timeline(scores, seconds, Scale(0.0, 1.0), {0: 'a', 2: 'c'})
    assert first == TimelineFrame(1.0, 0.25, height=25, is_best=False, picture='a')
    assert best == TimelineFrame(None, 0.75, height=75, is_best=True, picture=None)
    assert (last.picture, last.is_best) == ('c', False)  # of equal ones, the first is the best
