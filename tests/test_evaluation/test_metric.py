"""The metric of the evaluation loop, on predictions like those of the model."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.evaluation.metrics import RetrievalMetric
from mmaction.registry import METRICS, MODELS
from torch import nn

from ts2net_mm.datasets.bad_videos import BadVideosError
from ts2net_mm.evaluation import (
    TextVideoRetrievalMetric,
    inverted_softmax,
    measure_similarity,
    retrieval_metrics,
    sinkhorn_scores,
    tiles,
)

FRAME_WEIGHTED = dict(type='FrameWeightedSimilarity', temperature=4.0)
MEAN_POOLED = dict(type='MeanPooledSimilarity')
SCALE = 30.0


def predict(num_videos, captions=(3, 1, 2), dtype=torch.float32, similarity=FRAME_WEIGHTED):
    """Random predictions whose captions resemble their video; every second video is short."""
    generator = torch.Generator().manual_seed(num_videos)
    samples = []
    for index in range(num_videos):
        count = captions[index % len(captions)]
        frames = torch.randn(5, 8, generator=generator)
        mask = torch.arange(5) < (3 if index % 2 else 5)
        texts = 0.7 * frames[0] + torch.randn(count, 8, generator=generator)
        pooled = F.normalize(frames[mask], dim=-1).mean(dim=0)
        features = dict(
            frame_features=frames.to(dtype),
            frame_mask=mask,
            text_features=texts.to(dtype),
            video_feature=pooled.to(dtype),
            text_feature=(texts[0] if count == 1 else texts).to(dtype),
            logit_scale=SCALE,
            similarity=similarity,
        )
        sentences = [f'caption {number} of {index}' for number in range(count)]
        samples.append(dict(video_id=f'{index}.mp4', captions=sentences, features=features))
    return samples


def spoil(samples, indices, *, skip=True):
    """Mark videos as unreadable; what stands in for them has features that must not count."""
    for index in indices:
        sample = samples[index]
        sample['features']['frame_features'] = torch.full((5, 8), torch.nan)
        record = dict(video_id=f'{index}.mp4', filename=f'/{index}.mp4', reason=f'reason {index}')
        sample['bad_videos'] = [dict(record, num_texts=len(sample['captions']), skip=skip)]
    return samples


def logits_of(samples):
    """Frame-weighted logits pair by pair, and the video of each text."""
    texts = [(text, i) for i, s in enumerate(samples) for text in s['features']['text_features']]
    logits = np.zeros((len(texts), len(samples)), np.float32)
    for row, (text, _) in enumerate(texts):
        for column, sample in enumerate(samples):
            frames = sample['features']['frame_features'][sample['features']['frame_mask']]
            cosines = F.cosine_similarity(text[None], frames)
            weights = (4.0 * cosines / cosines.norm()).softmax(dim=0)
            logits[row, column] = SCALE * (weights * cosines).sum()
    return logits, np.array([owner for _, owner in texts])


def evaluate(samples, **options):
    """Run the metric in this process."""
    metric = TextVideoRetrievalMetric(**options)
    for start in range(0, len(samples), 4):
        metric.process(None, samples[start : start + 4])
    return metric.evaluate(len(samples))


def test_sinkhorn_uses_cosines():
    samples = predict(11)
    logits, owners = logits_of(samples)
    metrics = evaluate(samples, sinkhorn=dict(inverse_temperature=20.0))
    assert len(metrics) == 24
    for way in ('t2v', 'v2t'):
        normalised = sinkhorn_scores(logits / SCALE, way, inverse_temperature=20.0)
        expected = retrieval_metrics(normalised, owners)
        for name in ('R1', 'R5', 'R10', 'R50', 'MdR', 'MnR'):
            assert metrics[f'{way}_sinkhorn/{name}'] == pytest.approx(expected[f'{way}/{name}'])
        assert metrics[f'{way}_sinkhorn/MnR'] != metrics[f'{way}/MnR']
    assert evaluate(samples, sinkhorn=True) != metrics
    assert evaluate(samples, sinkhorn=False) == evaluate(samples)


def test_equals_pair_by_pair_similarity():
    samples = predict(11)
    expected = retrieval_metrics(*logits_of(samples))
    assert evaluate(samples) == pytest.approx(expected)
    assert 10 < expected['t2v/R1'] < 90  # otherwise the numbers tell little


def test_inverted_softmax_uses_logits():
    samples = predict(11)
    logits, owners = logits_of(samples)
    metrics = evaluate(samples, inverted_softmax=True)
    assert len(metrics) == 24
    for way in ('t2v', 'v2t'):
        expected = retrieval_metrics(inverted_softmax(logits, way), owners)
        for name in ('R1', 'R5', 'R10', 'R50', 'MdR', 'MnR'):
            assert metrics[f'{way}_dsl/{name}'] == pytest.approx(expected[f'{way}/{name}'])
        assert metrics[f'{way}_dsl/MnR'] != metrics[f'{way}/MnR']


def test_features_of_words():
    """Captions of five words, of which some are padding, with several captions a video."""
    samples = predict(9, similarity=dict(type='TokenInteraction'))
    generator = torch.Generator().manual_seed(0)
    for sample in samples:
        texts = sample['features']['text_features']
        words = texts[:, None] + torch.randn(len(texts), 5, 8, generator=generator)
        sample['features']['text_features'] = words * (torch.arange(5) < 3)[:, None]
    logits = []
    for text in torch.cat([sample['features']['text_features'] for sample in samples])[:, :3]:
        row = []
        for features in (sample['features'] for sample in samples):
            frames = features['frame_features'][features['frame_mask']]
            cosines = F.cosine_similarity(text[:, None], frames[None], dim=-1)
            ways = ((text, cosines.amax(dim=1)), (frames, cosines.amax(dim=0)))
            row.append(sum(t.norm(dim=-1) @ best / t.norm(dim=-1).sum() for t, best in ways))
        logits.append(torch.stack(row))
    owners = logits_of(predict(9))[1]
    expected = retrieval_metrics(torch.stack(logits).numpy(), owners)
    assert evaluate(samples) == pytest.approx(expected)
    assert 10 < expected['t2v/R1'] < 90


@MODELS.register_module(force=True)
class StoredScores(nn.Module):
    """Reads the scores of a text from its feature, at the place that the video feature marks."""

    def forward(self, text, video, frame_mask):
        return text @ video[:, 0].T


@pytest.mark.parametrize('index', range(3))
def test_any_number_of_captions_a_video(index):
    """The stored cases of the released metric: one each, the same number each, any number."""
    with np.load(Path(__file__).parents[1] / 'data/metrics.npz') as arrays:
        similarity, owners = arrays[f'sim{index}'], arrays[f'video_of_text{index}']
    owners, similarity = np.sort(owners), similarity[np.argsort(owners, kind='stable')]
    samples = []
    for video, mark in enumerate(torch.eye(similarity.shape[1])):
        texts = torch.from_numpy(similarity[owners == video]).float()
        features = dict(frame_features=mark[None], frame_mask=torch.ones(1), text_features=texts)
        features |= dict(logit_scale=1.0, similarity=dict(type='StoredScores'))
        samples.append(dict(video_id=f'{video}', captions=[''] * len(texts), features=features))
    expected = measure_similarity(similarity.astype(np.float32), owners, inverted_softmax=True)
    assert evaluate(samples, inverted_softmax=True) == expected


@MODELS.register_module(force=True)
class Recording(nn.Module):
    """Counts how often each pair is compared; pairs are marked by the features."""

    counts = None
    largest = 0

    def forward(self, text, video, frame_mask):
        rows, columns = text[:, 0].long(), video[:, 0, 0].long()
        Recording.counts[rows[:, None], columns] += 1
        Recording.largest = max(Recording.largest, len(rows) * len(columns))
        return torch.cos(7 * rows[:, None] + columns)


@pytest.mark.parametrize('captions', [(1,), (40, 1, 7)])
def test_compares_each_pair_once_in_small_tiles(monkeypatch, captions):
    """Then no matrix is needed for ranks and hard negatives."""
    monkeypatch.setattr(tiles, 'TILE_ELEMENTS', 64)
    samples = predict(30, captions, similarity=dict(type='Recording'))
    start = 0
    for index, sample in enumerate(samples):
        features, count = sample['features'], len(sample['captions'])
        features['frame_features'] = torch.full((5, 8), float(index))
        features['text_features'] = torch.arange(start, start + count)[:, None].expand(-1, 8)
        sample['far'] = f'{(index + 11) % 30}.mp4'
        start += count
    owners = np.repeat(range(30), [len(sample['captions']) for sample in samples])
    Recording.counts, Recording.largest = torch.zeros(start, 30), 0
    metrics = evaluate(samples, hard_negative='far')
    assert (Recording.counts == 1).all()
    assert Recording.largest <= 4 * 64
    scores = SCALE * torch.cos(7 * torch.arange(start)[:, None] + torch.arange(30)).numpy()
    rows = np.arange(start)
    wins = scores[rows, owners] > scores[rows, (owners + 11) % 30]
    assert metrics.pop('t2v/far_acc') == pytest.approx(100 * wins.mean())
    assert metrics == retrieval_metrics(scores, owners)


@MODELS.register_module(force=True)
class WithoutFive(StoredScores):
    """Gives NaN for a score of 5."""

    def forward(self, text, video, frame_mask):
        scores = super().forward(text, video, frame_mask)
        return torch.where(scores == 5, torch.nan, scores)


def test_names_the_pair_that_scores_nan(monkeypatch):
    monkeypatch.setattr(tiles, 'TILE_ELEMENTS', 2)
    samples = predict(8, captions=(1,), similarity=dict(type='WithoutFive'))
    for sample, mark in zip(samples, torch.eye(8), strict=True):
        sample['features'] |= dict(frame_features=mark[None], frame_mask=torch.ones(1))
        sample['features']['text_features'] = mark[None].clone()
    samples[2]['features']['text_features'][0, 3] = 5
    with pytest.raises(ValueError, match='WithoutFive gives NaN for text 2 and video 3'):
        evaluate(samples)


def test_equals_mmaction2_metric_with_mean_pooling():
    samples = predict(23, captions=(1,), similarity=MEAN_POOLED)
    theirs = RetrievalMetric()
    theirs.process(None, samples)
    expected = theirs.evaluate(len(samples))
    ours = evaluate(samples, inverted_softmax=True)
    assert len(expected) == 5
    for key, value in expected.items():
        assert ours[f't2v/{key.removeprefix("retrieval/")}'] == pytest.approx(value)
    # the same as MMAction2's CLIPSimilarity predicts it: one vector each, and no names
    keys = ('video_feature', 'text_feature')
    pooled = [dict(features={key: s['features'][key] for key in keys}) for s in samples]
    assert evaluate(pooled, inverted_softmax=True, logit_scale=SCALE) == pytest.approx(ours)


def test_items_of_one_file_are_one_video():
    """As MMAction2's VideoTextDataset makes them: an item a caption."""
    samples = predict(11, similarity=MEAN_POOLED)
    pairs = []
    for sample in samples:
        features = sample['features']
        for text in features['text_features']:
            pair = dict(video_feature=features['video_feature'], text_feature=text)
            pairs.append(dict(filename=sample['video_id'], features=pair))
    assert len(pairs) > len(samples)
    found = evaluate(pairs, inverted_softmax=True, logit_scale=SCALE)
    assert found == pytest.approx(evaluate(samples, inverted_softmax=True))


def test_items_of_one_file_by_our_model():
    samples = predict(11, captions=(1,))
    expected = evaluate(samples)
    for sample in samples:
        sample['filename'] = sample.pop('video_id')
    assert evaluate(samples) == expected


def test_another_similarity_may_be_named():
    samples = predict(11)
    pooled = predict(11, similarity=MEAN_POOLED)
    assert evaluate(samples, similarity=MEAN_POOLED) == evaluate(pooled) != evaluate(samples)


def test_prefix_and_metric_list():
    options = dict(metric_list=['MdR', 'R50'], prefix='msrvtt', inverted_softmax=True)
    rows = ('t2v', 'v2t', 't2v_dsl', 'v2t_dsl')
    assert set(evaluate(predict(5), **options)) == {
        f'msrvtt/{row}/{name}' for row in rows for name in ('MdR', 'R50')
    }
    assert isinstance(METRICS.build(dict(type='TextVideoRetrievalMetric')), RetrievalMetric)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_features_become_single(dtype):
    metric = TextVideoRetrievalMetric()
    metric.process(None, predict(6, dtype=dtype))
    assert {video.frames.dtype for video in metric.results} == {torch.float32}
    assert {video.texts.dtype for video in metric.results} == {torch.float32}
    assert metric.evaluate(6)['t2v/R50'] == 100.0


def test_keeps_no_storage_of_the_batch():
    batch = torch.randn(64, 5, 8)
    sample = predict(1)[0]
    sample['features'] |= dict(frame_features=batch[3], text_features=batch[4, :3])
    metric = TextVideoRetrievalMetric()
    metric.process(None, [sample])
    for feature in (metric.results[0].frames, metric.results[0].texts):
        assert feature.untyped_storage().nbytes() == feature.nbytes


def test_padded_frames_do_not_matter():
    samples = predict(7)
    expected = evaluate(samples)
    for sample in samples[:4]:
        features = sample['features']
        features['frame_features'][~features['frame_mask']] = float('nan')
    for key in ('frame_features', 'frame_mask'):  # videos may differ in frames
        samples[5]['features'][key] = samples[5]['features'][key][:3]
    assert evaluate(samples) == expected


def test_dump_holds_logits_and_names(tmp_path):
    samples = predict(7)
    evaluate(samples, dump=str(tmp_path / 'sims' / 'test.npz'), inverted_softmax=True)
    logits, owners = logits_of(samples)
    with np.load(tmp_path / 'sims' / 'test.npz') as saved:
        np.testing.assert_allclose(saved['similarity'], logits, rtol=1e-4, atol=1e-4)
        assert saved['video_of_text'].tolist() == owners.tolist()
        assert saved['video_ids'].tolist() == [sample['video_id'] for sample in samples]
        assert saved['captions'].tolist() == [c for sample in samples for c in sample['captions']]


def test_hard_negative_accuracy():
    samples = predict(8)
    rivals = {0: 5, 5: 0, 3: 6}
    for video, rival in rivals.items():
        samples[video]['reversal'] = f'{rival}.mp4'
    samples[4]['reversal'] = None
    logits, owners = logits_of(samples)
    wins = [logits[row, o] > logits[row, rivals[o]] for row, o in enumerate(owners) if o in rivals]
    metrics = evaluate(samples, hard_negative='reversal', prefix='p')
    assert metrics['p/t2v/reversal_acc'] == pytest.approx(100 * sum(wins) / len(wins))
    assert 0 < sum(wins) < len(wins)


def test_hard_negative_that_ties_does_not_count():
    samples = predict(3, captions=(1,))
    samples[1]['features'] |= {
        key: samples[0]['features'][key] for key in ('frame_features', 'frame_mask')
    }
    samples[0]['reversal'], samples[1]['reversal'] = '1.mp4', '0.mp4'
    assert evaluate(samples, hard_negative='reversal')['t2v/reversal_acc'] == 0.0


def test_skipped_videos_are_no_queries_and_no_candidates(log_records):
    bad = (2, 5)
    without = evaluate([sample for i, sample in enumerate(predict(9)) if i not in bad])
    metrics = evaluate(spoil(predict(9), bad))
    assert metrics == without | {'skipped/videos': 2.0, 'skipped/texts': 4.0}
    everything = evaluate(predict(9))
    assert everything != without
    assert everything.keys() == without.keys()
    (warning,) = (record for record in log_records if record.levelname == 'WARNING')
    assert warning.getMessage() == (
        'Skipped as queries and candidates:\n  /2.mp4: reason 2\n  /5.mp4: reason 5'
    )


def test_unreadable_videos_that_are_not_skipped_are_an_error():
    with pytest.raises(BadVideosError) as caught:
        evaluate(spoil(predict(9), (7, 2, 5), skip=False))
    assert str(caught.value) == (
        '3 of 9 test videos are unreadable; fix them, or skip them with '
        "dataset=dict(on_bad_video='skip')\n"
        '  /2.mp4: reason 2\n  /5.mp4: reason 5\n  /7.mp4: reason 7'
    )


def test_skipped_hard_negatives_do_not_count():
    samples = spoil(predict(6), (5,))
    for index, rival in ((0, 5), (1, 3), (5, 0)):
        samples[index]['reversal'] = f'{rival}.mp4'
    metrics = evaluate(samples, hard_negative='reversal')
    del samples[0]['reversal']
    assert evaluate(samples, hard_negative='reversal') == metrics


@pytest.mark.slow
@pytest.mark.parametrize('piece', [1, 3, 64])
def test_two_processes_give_the_numbers_of_one(tmp_path, piece, run_together):
    """Seven videos on two processes: one gets a repeated video, or one video less."""
    splits = dict(
        good=predict(7),
        skip=spoil(predict(7), (0, 5)),  # the repeated video among them
        error=spoil(predict(7), (0, 5), skip=False),
    )
    torch.save(splits, tmp_path / 'predictions.pt')
    script = Path(__file__).with_name('evaluate_shard.py')
    arguments = [(tmp_path, rank, piece) for rank in range(2)]
    run_together(script, arguments, tmp_path / 'output.txt')
    results = [torch.load(tmp_path / f'rank{rank}.pt') for rank in range(2)]
    for round_up in (True, False):
        for name in ('good', 'skip'):
            alone = tmp_path / 'alone.npz'
            expected = evaluate(splits[name], inverted_softmax=True, dump=str(alone))
            assert results[0][name, round_up] == results[1][name, round_up] == expected
            with np.load(alone) as ours, np.load(tmp_path / f'{name}-{round_up}.npz') as theirs:
                for key in ours:
                    np.testing.assert_array_equal(theirs[key], ours[key])
        for result in results:
            error = result['error', round_up]
            assert error.startswith('2 of 7 test videos are unreadable')
            assert error.endswith('\n  /0.mp4: reason 0\n  /5.mp4: reason 5')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(metric_list=('R1', 'R7')), r"metric_list=\('R1', 'R7'\) must name some of"),
        (dict(metric_list=()), r'metric_list=\(\) must name some of'),
        (dict(dump='out.pkl'), "dump='out.pkl' must end in .npz"),
        (dict(logit_scale=0), 'logit_scale=0 must be positive'),
        (dict(sinkhorn=dict(num_iterations=0)), 'sinkhorn: num_iterations=0 must be a whole'),
    ],
)
def test_invalid_settings(options, message):
    with pytest.raises(ValueError, match=message):
        TextVideoRetrievalMetric(**options)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(frame_features=torch.full((5, 8), torch.inf)), 'has NaN or infinite frame features'),
        (dict(text_features=torch.full((3, 8), torch.nan)), 'has NaN or infinite text features'),
        (dict(text_features=torch.ones(2, 8)), 'has 3 captions but 2 text features'),
        (dict(frame_mask=torch.zeros(5)), 'has no valid frame'),
    ],
)
def test_invalid_features(changes, message):
    samples = predict(4)
    samples[0]['features'] |= changes
    with pytest.raises(ValueError, match=f"video '0.mp4' {message}"):
        evaluate(samples)


@pytest.mark.parametrize(
    ('features', 'message'),
    [
        ({}, r"lacks .* in 'features' \(found \[\]\)"),
        (dict(video_feature=torch.ones(4)), r"lacks \['frame_features', .*found \['video_feature'"),
        (
            dict(video_feature=torch.ones(4), text_feature=torch.ones(1, 4)),
            'expected one vector each, of the same length',
        ),
    ],
)
def test_predictions_of_another_model(features, message):
    with pytest.raises(ValueError, match=message):
        evaluate([dict(video_id='a.mp4', features=features)])


def test_missing_captions_matter_to_the_dump_alone(tmp_path):
    samples = predict(4)
    expected = evaluate(samples)
    for sample in samples:
        del sample['captions']
    assert evaluate(samples) == expected
    with pytest.raises(ValueError, match=r"needs 'captions', .* of '0.mp4' lacks"):
        evaluate(samples, dump=str(tmp_path / 'out.npz'))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('indices', 'message'),
    [
        ([0, 1, 1, 2, 0], r"2 of 3 videos occur more .*: '0.mp4', '1.mp4'$"),
        ([*range(9), *range(9)], r"9 of 9 videos .*'4.mp4', \.\.\.$"),
        ([], 'there are no test videos to rank'),
        ([0], 'there is only one video'),
    ],
)
def test_splits_that_cannot_be_ranked(indices, message):
    samples = predict(9)
    with pytest.raises(ValueError, match=message):
        evaluate([samples[index] for index in indices])


def test_all_videos_skipped():
    with pytest.raises(ValueError, match='there are no test videos to rank'):
        evaluate(spoil(predict(3), range(3)))


@pytest.mark.parametrize(
    ('rivals', 'message'),
    [
        (['z.mp4'], "reversal='z.mp4' of video '0.mp4' names no other of the 3 test videos"),
        (['0.mp4'], "reversal='0.mp4' of video '0.mp4' names no other of the 3 test videos"),
        ([], "no test video has the field 'reversal'"),
    ],
)
def test_invalid_hard_negatives(rivals, message):
    samples = predict(3)
    for sample, rival in zip(samples, rivals, strict=False):
        sample['reversal'] = rival
    with pytest.raises(ValueError, match=message):
        evaluate(samples, hard_negative='reversal')
