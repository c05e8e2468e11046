"""The metric of the evaluation loop, on predictions like those of the model."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.evaluation.metrics import RetrievalMetric
from mmaction.registry import METRICS
from mmaction.structures import ActionDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

from ts2net_mm.evaluation import (
    TextVideoRetrievalMetric,
    inverted_softmax,
    metric,
    retrieval_metrics,
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
    evaluator = TextVideoRetrievalMetric(**options)
    for start in range(0, len(samples), 4):
        evaluator.process(None, samples[start : start + 4])
    return evaluator.evaluate(len(samples))


def test_equals_pair_by_pair_similarity():
    samples = predict(11)
    expected = retrieval_metrics(*logits_of(samples))
    assert evaluate(samples) == pytest.approx(expected)
    assert 10 < expected['t2v/R1'] < 90  # else the numbers tell little


def test_inverted_softmax_uses_logits():
    samples = predict(11)
    logits, owners = logits_of(samples)
    metrics = evaluate(samples, inverted_softmax=True)
    assert len(metrics) == 24
    for way in ('t2v', 'v2t'):
        expected = retrieval_metrics(inverted_softmax(logits, way), owners)
        for name in ('R1', 'R5', 'R10', 'R50', 'MdR', 'MnR'):
            assert metrics[f'{way}_dsl/{name}'] == pytest.approx(expected[f'{way}/{name}'])
    assert metrics['t2v_dsl/MnR'] != metrics['t2v/MnR']
    assert metrics['v2t_dsl/MnR'] != metrics['v2t/MnR']


def test_equals_mmaction2_metric_with_mean_pooling():
    samples = predict(23, captions=(1,), similarity=MEAN_POOLED)
    theirs = RetrievalMetric()
    theirs.process(None, samples)
    expected = theirs.evaluate(len(samples))
    ours = evaluate(samples)
    assert len(expected) == 5
    for key, value in expected.items():
        assert ours[f't2v/{key.removeprefix("retrieval/")}'] == pytest.approx(value)


def pooled(samples):
    """The samples as MMAction2's CLIPSimilarity predicts them: one vector each, and no names."""
    keys = ('video_feature', 'text_feature')
    return [dict(features={key: one['features'][key] for key in keys}) for one in samples]


def test_predictions_of_mmaction2_in_both_directions():
    samples = predict(23, captions=(1,), similarity=MEAN_POOLED)
    theirs = RetrievalMetric()
    theirs.process(None, pooled(samples))
    expected = theirs.evaluate(len(samples))
    ours = evaluate(pooled(samples), inverted_softmax=True, logit_scale=SCALE)
    for key, value in expected.items():
        assert ours[f't2v/{key.removeprefix("retrieval/")}'] == pytest.approx(value)
    assert ours == pytest.approx(evaluate(samples, inverted_softmax=True))


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


def test_runs_in_the_evaluator_of_mmengine():
    """As configured in a file: data samples in, keys without prefix out."""
    evaluator = Evaluator([dict(type='mmaction.TextVideoRetrievalMetric', metric_list='R1')])
    data_samples = []
    for sample in predict(11):
        packed = ActionDataSample(features=InstanceData(metainfo=sample['features']))
        packed.set_metainfo(dict(video_id=sample['video_id'], captions=sample['captions']))
        data_samples.append(packed)
    evaluator.process(data_samples)
    full = evaluate(predict(11))
    assert evaluator.evaluate(11) == {key: full[key] for key in ('t2v/R1', 'v2t/R1')}


def test_prefix_and_metric_list():
    metrics = evaluate(predict(5), metric_list=['MdR', 'R50'], prefix='msrvtt')
    assert set(metrics) == {
        f'msrvtt/{way}/{name}' for way in ('t2v', 'v2t') for name in ('MdR', 'R50')
    }
    assert isinstance(METRICS.build(dict(type='TextVideoRetrievalMetric')), RetrievalMetric)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_features_become_single(dtype):
    samples = predict(6, dtype=dtype)
    evaluator = TextVideoRetrievalMetric()
    evaluator.process(None, samples)
    assert {one.frames.dtype for one in evaluator.results} == {torch.float32}
    assert {one.texts.dtype for one in evaluator.results} == {torch.float32}
    assert evaluator.evaluate(6)['t2v/R50'] == 100.0


def test_keeps_no_storage_of_the_batch():
    batch = torch.randn(64, 5, 8)
    sample = predict(1)[0]
    sample['features'] |= dict(frame_features=batch[3], text_features=batch[4, :3])
    evaluator = TextVideoRetrievalMetric()
    evaluator.process(None, [sample])
    for feature in (evaluator.results[0].frames, evaluator.results[0].texts):
        assert feature.untyped_storage().nbytes() == feature.nbytes


def test_padded_frames_do_not_matter():
    samples = predict(7)
    expected = evaluate(samples)
    for sample in samples:
        features = sample['features']
        features['frame_features'][~features['frame_mask']] = float('nan')
    assert evaluate(samples) == expected


def test_videos_may_differ_in_frames():
    samples = predict(7)
    expected = evaluate(samples)
    features = samples[1]['features']
    features['frame_features'], features['frame_mask'] = (
        features['frame_features'][:3],
        features['frame_mask'][:3],
    )
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


def test_logs_what_was_compared(monkeypatch):
    lines = []
    monkeypatch.setattr(metric, 'print_log', lambda message, logger: lines.append(message))
    evaluate(predict(7))
    assert lines == ['Retrieval over 7 videos and 15 texts']


@pytest.mark.parametrize('collect_device', ['cpu', 'gpu'])
def test_two_processes_give_the_numbers_of_one(tmp_path, collect_device, run_together):
    """Seven videos on two processes: one gets a repeated video, or one video less."""
    samples = predict(7)
    torch.save(samples, tmp_path / 'predictions.pt')
    script = Path(__file__).with_name('evaluate_shard.py')
    arguments = [(tmp_path, rank, collect_device) for rank in range(2)]
    run_together(script, arguments, tmp_path / 'output.txt')
    alone = evaluate(samples, inverted_softmax=True, dump=str(tmp_path / 'alone.npz'))
    for rank in range(2):
        assert torch.load(tmp_path / f'rank{rank}.pt') == [alone, alone]
    with np.load(tmp_path / 'alone.npz') as expected:
        for name in ('True.npz', 'False.npz'):
            with np.load(tmp_path / name) as saved:
                for key in expected:
                    np.testing.assert_array_equal(saved[key], expected[key])
