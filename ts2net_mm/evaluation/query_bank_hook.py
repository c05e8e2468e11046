"""Encode the captions of a query bank before an evaluation."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from mmaction.registry import HOOKS
from mmengine.dist import collect_results, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, autocast
from torch import Tensor

from ..datasets import TokenizeCaptions
from ..datasets.text_video_dataset import inner_datasets
from .bank_queries import BankQueries, draw_queries
from .metric import TextVideoRetrievalMetric

__all__ = ['QueryBankHook']

TEXTS_AT_A_TIME = 256


@HOOKS.register_module()
class QueryBankHook(Hook):
    """Give the metrics with a ``query_bank`` the text features they need, which only a model has.

    It belongs into ``custom_hooks`` and does nothing where no metric has a bank. The settings stand
    in the metric. Captions pass the ``TokenizeCaptions`` of the evaluated data set. The processes
    share the work; each batch of captions is the same whatever their number, and so are the
    features.

    Raises:
        ValueError: Before the evaluation starts, if the data set does not tokenise captions; at its
            first batch, if the weights give features that are not finite.

    Example:
        >>> from mmaction.registry import HOOKS
        >>> import ts2net_mm
        >>> type(HOOKS.build(dict(type='QueryBankHook'))).__name__
        'QueryBankHook'
    """

    def __init__(self) -> None:
        self._banks: list[_Bank] = []

    def before_val(self, runner: Runner) -> None:
        """Draw the captions of the validation metrics."""
        self._banks = list(_draw_banks(runner.val_loop))

    def before_test(self, runner: Runner) -> None:
        """Draw the captions of the test metrics."""
        self._banks = list(_draw_banks(runner.test_loop))

    # Encoding waits for the first batch, when all hooks have set the model: EMAHook, for one, gives
    # it other weights.
    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Encode them."""
        self._fill_banks(runner, runner.val_loop)

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Encode them."""
        self._fill_banks(runner, runner.test_loop)

    def _fill_banks(self, runner: Runner, loop: Any) -> None:
        banks, self._banks = self._banks, []
        for metric, queries, tokenize in banks:
            features = self._encode(runner, loop, tokenize, queries.captions, metric.collect_device)
            metric.receive_bank(queries, features)

    @torch.no_grad()
    def _encode(
        self,
        runner: Runner,
        loop: Any,
        tokenize: TokenizeCaptions,
        captions: list[str],
        collect_device: str,
    ) -> Tensor | None:
        """Encode sentences on all processes: Q strings -> (Q, D) on the main one, else None."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.eval()  # as the loop is about to do
        device = next(model.parameters()).device
        starts = range(0, len(captions), TEXTS_AT_A_TIME)
        own = []
        for start in starts[get_rank() :: get_world_size()]:
            batch = captions[start : start + TEXTS_AT_A_TIME]
            tokens = torch.as_tensor(tokenize(dict(text=batch))['text']).to(device)
            with autocast(enabled=loop.fp16):
                own.append(model.encode_text(tokens).float().cpu())
        collected = collect_results(own, len(starts), device=collect_device)
        return None if collected is None else torch.cat([part.cpu() for part in collected])


class _Bank(NamedTuple):
    """A metric, the captions of its bank, and what reads them."""

    metric: TextVideoRetrievalMetric
    queries: BankQueries
    tokenize: TokenizeCaptions


def _draw_banks(loop: Any) -> Iterator[_Bank]:
    for metric in loop.evaluator.metrics:
        if not isinstance(metric, TextVideoRetrievalMetric) or metric.query_bank is None:
            continue
        queries = draw_queries(metric.query_bank)
        print_log(
            f'Query bank: {len(queries.captions)} captions of {metric.query_bank.ann_file}',
            logger='current',
        )
        yield _Bank(metric, queries, _find_tokenizer(loop.dataloader.dataset))


def _find_tokenizer(dataset: Any) -> TokenizeCaptions:
    """Take the transform that reads captions out of the pipeline of a data set."""
    transforms = [
        transform
        for one in inner_datasets(dataset)
        for transform in getattr(getattr(one, 'pipeline', None), 'transforms', ())
    ]
    for transform in transforms:
        if isinstance(transform, TokenizeCaptions):
            return transform
    raise ValueError(
        'query_bank: the pipeline of the evaluated data set has no TokenizeCaptions, found '
        f'{[type(transform).__name__ for transform in transforms]}'
    )
