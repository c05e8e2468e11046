"""Encode the captions of a query bank before an evaluation."""

from typing import Any

import torch
from mmaction.registry import HOOKS
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, autocast
from torch import Tensor

from ..datasets import TokenizeCaptions
from ..datasets.text_video_dataset import inner_datasets
from .collection import collect_on_main
from .metric import TextVideoRetrievalMetric
from .query_bank import QueryBank

__all__ = ['QueryBankHook']

BATCH_SIZE = 256  # captions


@HOOKS.register_module()
class QueryBankHook(Hook):
    """Give each metric with a ``query_bank`` the text features of its captions.

    A metric has no model, so this belongs in ``custom_hooks``; it does nothing where no metric has
    a bank. The settings are those of the metric. Captions go through the ``TokenizeCaptions`` of
    the evaluated data set. The processes share the work; the batches of captions do not depend on
    the number of processes, so the features do not either.

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
        self._banks: list[tuple[TextVideoRetrievalMetric, QueryBank, TokenizeCaptions]] = []

    def before_val(self, runner: Runner) -> None:
        """Draw the captions of the validation metrics."""
        self._draw_banks(runner.val_loop)

    def before_test(self, runner: Runner) -> None:
        """Draw the captions of the test metrics."""
        self._draw_banks(runner.test_loop)

    # Encoding waits for the first batch, when all hooks have prepared the model: EMAHook, for
    # example, swaps its weights.
    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Encode the captions before the first batch."""
        self._encode_banks(runner, runner.val_loop)

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Encode the captions before the first batch."""
        self._encode_banks(runner, runner.test_loop)

    def _draw_banks(self, loop: Any) -> None:
        self._banks = []
        for metric in loop.evaluator.metrics:
            if not isinstance(metric, TextVideoRetrievalMetric) or metric.query_bank is None:
                continue
            bank = QueryBank.from_annotations(metric.query_bank)
            print_log(
                f'Query bank: {len(bank.captions)} captions of {metric.query_bank.ann_file}',
                logger='current',
            )
            self._banks.append((metric, bank, _find_tokenizer(loop.dataloader.dataset)))

    @torch.no_grad()
    def _encode_banks(self, runner: Runner, loop: Any) -> None:
        """Encode the captions on all processes; the main process gets all features."""
        banks, self._banks = self._banks, []
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for metric, bank, tokenize in banks:
            model.eval()  # as the loop is about to do
            device = next(model.parameters()).device
            starts = range(0, len(bank.captions), BATCH_SIZE)
            features: list[Tensor] = []
            for start in starts[get_rank() :: get_world_size()]:
                batch = bank.captions[start : start + BATCH_SIZE]
                tokens = torch.as_tensor(tokenize(dict(text=batch))['text']).to(device)
                with autocast(enabled=loop.fp16):
                    features.append(model.encode_text(tokens).float().cpu())
            parts = collect_on_main(features, len(starts))
            metric.receive_bank(bank, None if parts is None else torch.cat(parts))


def _find_tokenizer(dataset: Any) -> TokenizeCaptions:
    """Find the transform that tokenises captions in the pipeline of a data set."""
    transforms = [
        transform
        for inner in inner_datasets(dataset)
        for transform in getattr(getattr(inner, 'pipeline', None), 'transforms', ())
    ]
    for transform in transforms:
        if isinstance(transform, TokenizeCaptions):
            return transform
    raise ValueError(
        'query_bank: the pipeline of the evaluated data set has no TokenizeCaptions, found '
        f'{[type(transform).__name__ for transform in transforms]}'
    )
