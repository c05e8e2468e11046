"""One of two processes that evaluate splits together: python evaluate_shard.py FOLDER RANK PIECE.

FOLDER holds the predictions, and gets the dumps and what this process sees: numbers or errors.
PIECE results travel at a time.
"""

import os
import sys

import torch
import torch.distributed as dist
from mmengine.dataset import DefaultSampler

import ts2net_mm  # noqa: F401  (registers the similarities)
from ts2net_mm.datasets.bad_videos import BadVideosError
from ts2net_mm.evaluation import TextVideoRetrievalMetric, collection

folder, rank, collection.PIECE = sys.argv[1], *map(int, sys.argv[2:])
os.chdir(folder)
dist.init_process_group('gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2)
found = {}
for name, samples in torch.load('predictions.pt').items():
    for round_up in (True, False):
        metric = TextVideoRetrievalMetric(inverted_softmax=True, dump=f'{name}-{round_up}.npz')
        for index in DefaultSampler(samples, shuffle=False, round_up=round_up):
            metric.process(None, [samples[index]])
        try:
            found[name, round_up] = metric.evaluate(len(samples))
            assert not metric.results
        except BadVideosError as error:
            found[name, round_up] = str(error)
torch.save(found, f'rank{rank}.pt')
dist.barrier()
dist.destroy_process_group()
