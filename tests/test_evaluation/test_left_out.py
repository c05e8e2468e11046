"""Videos that could not be read, in the metric and in the table."""

import logging

import pytest
import torch

from ts2net_mm.datasets.bad_videos import BadVideosError
from ts2net_mm.evaluation import TextVideoRetrievalMetric, format_table

SIMILARITY = dict(type='MeanPooledSimilarity')
SHARD = """
import sys
import torch
import torch.distributed as dist
from mmengine.dataset import DefaultSampler
import ts2net_mm
from ts2net_mm.datasets.bad_videos import BadVideosError
from ts2net_mm.evaluation import TextVideoRetrievalMetric

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group('gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2)
found = []
for name in ('skip.pt', 'error.pt'):
    samples = torch.load(f'{folder}/{name}')
    metric = TextVideoRetrievalMetric()
    for index in DefaultSampler(samples, shuffle=False, round_up=True):
        metric.process(None, [samples[index]])
    try:
        found.append(metric.evaluate(len(samples)))
    except BadVideosError as error:
        found.append(str(error))
torch.save(found, f'{folder}/rank{rank}.pt')
dist.barrier()
dist.destroy_process_group()
"""


def predict(num_videos: int, bad=(), *, skip=True) -> list[dict]:
    """Predictions with two captions a video; what stands in for a bad video has wild features."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for index in range(num_videos):
        frames = torch.randn(3, 8, generator=generator)
        texts = 0.7 * frames[:1] + torch.randn(2, 8, generator=generator)
        features = dict(
            frame_features=frames,
            frame_mask=torch.ones(3),
            text_features=texts,
            logit_scale=10.0,
            similarity=SIMILARITY,
        )
        sample = dict(video_id=f'{index}.mp4', captions=['x', 'y'], features=features)
        if index in bad:
            features['frame_features'] = torch.full((3, 8), torch.nan)
            sample['bad_videos'] = [
                dict(
                    video_id=f'{index}.mp4',
                    filename=f'/{index}.mp4',
                    reason=f'reason {index}',
                    num_texts=2,
                    skip=skip,
                )
            ]
        samples.append(sample)
    return samples


def evaluate(samples, **options):
    metric = TextVideoRetrievalMetric(**options)
    for sample in samples:
        metric.process(None, [sample])
    return metric.evaluate(len(samples))


def test_no_queries_and_no_candidates(log_records):
    bad = (2, 5)
    without = evaluate([s for i, s in enumerate(predict(9)) if i not in bad])
    metrics = evaluate(predict(9, bad))
    assert metrics == without | {'left_out/videos': 2.0, 'left_out/texts': 4.0}
    assert evaluate(predict(9)) != without
    warning = next(record for record in log_records if record.levelno == logging.WARNING)
    assert warning.getMessage() == (
        'Left out of queries and candidates:\n  /2.mp4: reason 2\n  /5.mp4: reason 5'
    )


def test_nothing_is_said_where_nothing_is_left_out():
    assert not any('left_out' in key for key in evaluate(predict(5)))


def test_error_lists_all_of_them():
    with pytest.raises(BadVideosError) as caught:
        evaluate(predict(9, (7, 2, 5), skip=False))
    assert str(caught.value) == (
        '3 of 9 test videos cannot be read; mend them, or leave them out by '
        "dataset=dict(on_bad_video='skip')\n"
        '  /2.mp4: reason 2\n  /5.mp4: reason 5\n  /7.mp4: reason 7'
    )


def test_hard_negatives_that_are_left_out_do_not_count():
    samples = predict(6, (5,))
    for index, rival in ((0, 5), (1, 3), (5, 0)):
        samples[index]['reversal'] = f'{rival}.mp4'
    metrics = evaluate(samples, hard_negative='reversal')
    del samples[0]['reversal']
    assert evaluate(samples, hard_negative='reversal') == metrics


def test_when_all_are_left_out():
    with pytest.raises(ValueError, match='there are no test videos to rank'):
        evaluate(predict(3, (0, 1, 2)))


def test_table():
    lines = format_table(evaluate(predict(9, (2, 5)), prefix='val')).splitlines()
    assert lines[-1] == 'val: left out: 2 videos that cannot be read, and their 4 texts'
    alone = format_table({'left_out/videos': 1.0, 'left_out/texts': 20.0})
    assert alone == 'left out: 1 videos that cannot be read, and their 20 texts'


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path, run_together):
    """Nine videos on two processes: one video is repeated, and it is a bad one."""
    torch.save(predict(9, (0, 5)), tmp_path / 'skip.pt')
    torch.save(predict(9, (0, 5), skip=False), tmp_path / 'error.pt')
    (tmp_path / 'shard.py').write_text(SHARD)
    arguments = [(tmp_path, rank) for rank in range(2)]
    run_together(tmp_path / 'shard.py', arguments, tmp_path / 'output.txt')
    alone = evaluate(predict(9, (0, 5)))
    for rank in range(2):
        metrics, error = torch.load(tmp_path / f'rank{rank}.pt')
        assert metrics == pytest.approx(alone)
        assert error.startswith('2 of 9 test videos cannot be read')
        assert error.endswith('\n  /0.mp4: reason 0\n  /5.mp4: reason 5')
