"""Predictions and settings that the metric refuses."""

import pytest
import torch

import ts2net_mm  # noqa: F401  (registers the similarities)
from ts2net_mm.evaluation import TextVideoRetrievalMetric


def sample_of(name, **changes):
    """Prediction of a video with two frames and one caption."""
    features = dict(
        frame_features=torch.rand(2, 4),
        frame_mask=torch.tensor([True, True]),
        text_features=torch.rand(1, 4),
        logit_scale=100.0,
        similarity=dict(type='MeanPooledSimilarity'),
    )
    features |= changes.pop('features', {})
    return dict(video_id=name, captions=['a cat'], features=features) | changes


def evaluate(*samples, **options):
    """Run the metric over the samples."""
    metric = TextVideoRetrievalMetric(**options)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_the_untouched_prediction_is_fine():
    assert evaluate(sample_of('a.mp4'), sample_of('b.mp4'))['t2v/R5'] == 100.0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(metric_list=('R1', 'R7')), r"metric_list=\('R1', 'R7'\) must name some of"),
        (dict(metric_list=()), r'metric_list=\(\) must name some of'),
        (dict(dump='out.pkl'), "dump='out.pkl' must end in .npz"),
        (dict(logit_scale=0), 'logit_scale=0 must be positive'),
    ],
)
def test_settings(options, message):
    with pytest.raises(ValueError, match=message):
        TextVideoRetrievalMetric(**options)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize(('key', 'kind'), [('frame_features', 'frame'), ('text_features', 'text')])
def test_features_that_are_not_finite(key, kind, value):
    broken = torch.rand(2 if kind == 'frame' else 1, 4)
    broken[0, 1] = value
    with pytest.raises(ValueError, match=f"'b.mp4' has NaN or infinite {kind} features"):
        evaluate(sample_of('a.mp4'), sample_of('b.mp4', features={key: broken}))


def test_video_without_valid_frame():
    with pytest.raises(ValueError, match="'a.mp4' has no valid frame"):
        evaluate(sample_of('a.mp4', features=dict(frame_mask=torch.tensor([False, False]))))


def test_captions_that_do_not_fit_their_features():
    with pytest.raises(ValueError, match="'a.mp4' has 2 captions but 1 text features"):
        evaluate(sample_of('a.mp4', captions=['a cat', 'a dog']))


def test_predictions_of_another_model():
    features = dict(video_feature=torch.rand(4))
    with pytest.raises(ValueError, match=r"lacks \['frame_features', .*found \['video_feature'"):
        evaluate(dict(video_id='a.mp4', features=features))


@pytest.mark.parametrize('shapes', [((2, 4), (4,)), ((4,), (1, 4)), ((4,), (5,))])
def test_more_than_one_vector_a_video(shapes):
    video, text = map(torch.rand, shapes)
    with pytest.raises(ValueError, match='expected one vector each, of the same length'):
        evaluate(dict(features=dict(video_feature=video, text_feature=text)))


def test_prediction_without_features():
    with pytest.raises(ValueError, match=r"lacks .* in 'features' \(found \[\]\)"):
        evaluate(dict(video_id='a.mp4'))


def test_missing_captions_matter_to_the_dump_alone(tmp_path):
    samples = [sample_of('a.mp4'), sample_of('b.mp4')]
    for sample in samples:
        del sample['captions']
    assert evaluate(*samples)['t2v/R5'] == 100.0
    with pytest.raises(ValueError, match=r"needs 'captions', .* of 'a.mp4' lacks"):
        evaluate(*samples, dump=str(tmp_path / 'out.npz'))
    assert not list(tmp_path.iterdir())


def test_video_twice():
    samples = [sample_of(name) for name in ('a.mp4', 'b.mp4', 'b.mp4', 'c.mp4', 'a.mp4')]
    with pytest.raises(ValueError, match=r"2 of 3 videos occur more .*: 'a.mp4', 'b.mp4'$"):
        evaluate(*samples)


def test_many_videos_twice_are_cut():
    samples = [sample_of(f'{index % 9}.mp4') for index in range(18)]
    with pytest.raises(ValueError, match=r"9 of 9 videos .*'4.mp4', \.\.\.$"):
        evaluate(*samples)


def test_no_video():
    with pytest.raises(ValueError, match='there are no test videos to rank'):
        evaluate()


def test_one_video():
    with pytest.raises(ValueError, match='there is one video only'):
        evaluate(sample_of('a.mp4'))


@pytest.mark.parametrize('rival', ['z.mp4', 'a.mp4'])
def test_hard_negative_that_is_no_other_video(rival):
    samples = [sample_of('a.mp4', reversal=rival), sample_of('b.mp4')]
    with pytest.raises(
        ValueError, match=f"reversal='{rival}' of video 'a.mp4' names no other of the 2 test videos"
    ):
        evaluate(*samples, hard_negative='reversal')


def test_hard_negative_field_that_no_video_has():
    with pytest.raises(ValueError, match="no test video has the field 'reversal'"):
        evaluate(sample_of('a.mp4'), sample_of('b.mp4'), hard_negative='reversal')
