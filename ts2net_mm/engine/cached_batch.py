"""The exact gradient of a large batch in the memory of a few videos (gradient caching)."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmaction.registry import LOOPS
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from ..models import TS2Net
from ..models.layers.transformer import at_least_fp32
from ..utils.memory import release_freed_memory
from .loops import ResumableTrainLoop
from .resuming import random_states, restore_random_states

__all__ = ['CachedBatchTrainLoop', 'CachedStep']


class CachedStep:
    """A training step that encodes its batch in chunks, with the loss and gradient of the whole.

    Gradient caching (Gao et al. 2021, arXiv 2101.06983): all chunks are encoded without a graph,
    and the loss of all features, of all processes, gives the gradient of each feature. Then each
    chunk is encoded again with the same random numbers, and the gradient continues through it. The
    cost is a second forward pass. The frames are normalised chunk by chunk as well.

    Args:
        model: The model to train, or its MMDistributedDataParallel.
        optim_wrapper: The optimiser wrapper; precision, loss scaling, accumulation and clipping are
            as in a plain step.
        chunk_size: Number of videos that are encoded together.
        compile_cfg: Arguments of ``torch.compile``; None for no compilation.

    Raises:
        TypeError: If the model is not a TS2Net.
        ValueError: If ``chunk_size`` is not positive, if the model is neither on a CPU nor on a
            CUDA device or, in the first step, if it computes statistics of a batch.
    """

    def __init__(
        self,
        model: Any,
        optim_wrapper: OptimWrapper,
        *,
        chunk_size: int,
        compile_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        network = model.module if is_model_wrapper(model) else model
        if not isinstance(network, TS2Net):
            raise TypeError(f'a cached batch needs a TS2Net, not {type(network).__name__}')
        if chunk_size < 1:
            raise ValueError(f'chunk_size={chunk_size} must be positive')
        device = next(network.parameters()).device.type
        if device not in ('cpu', 'cuda'):  # those whose generators random_states() reads
            raise ValueError(f'a cached batch cannot replay random numbers of the device {device}')
        self.model = model
        self.network = network
        self.optim_wrapper = optim_wrapper
        self.chunk_size = chunk_size
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._encoder: Any = network
        # DistributedDataParallel reduces the gradients after a backward pass of its own forward
        self._reducing_encoder: Any = model
        if compile_cfg is not None:
            self._encoder = torch.compile(network, **compile_cfg)
            self._reducing_encoder = (
                self._encoder if model is network else torch.compile(model, **compile_cfg)
            )
        self._on_cpu = device == 'cpu'
        self._checked = False

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Tensor]:
        """Train on a batch of the data loader; return the losses for the log."""
        chunks = list(_split(data, self.chunk_size))
        if len(chunks) == 1:
            return self.model.train_step(data, optim_wrapper=self.optim_wrapper)
        if not self._checked:
            self._reject_batch_norm()
        states, features, masks = self._encode_all(chunks)
        videos, texts = (
            at_least_fp32(torch.cat(parts)).requires_grad_()
            for parts in zip(*features, strict=True)
        )
        with self.optim_wrapper.optim_context(self.model):
            losses = self.network.loss_from_features(texts, videos, torch.cat(masks))
        loss, log_vars = self.network.parse_losses(losses)
        grads = torch.autograd.grad(loss, [videos, texts, *self._parameters], allow_unused=True)
        feature_grads = [part.split(self.chunk_size) for part in grads[:2]]
        direct = [  # parameters of the loss itself, such as the logit scale
            (parameter, grad)
            for parameter, grad in zip(self._parameters, grads[2:], strict=True)
            if grad is not None
        ]

        def replay(scale: Tensor) -> None:
            pairs = list(zip(*feature_grads, strict=True))
            self._backpropagate(chunks, states, pairs, direct, scale)

        # the wrapper scales the loss and calls backward(), which arrives here as the factor
        loss = loss.detach().requires_grad_()
        loss.register_hook(replay)
        self.optim_wrapper.update_params(loss)
        return log_vars

    @torch.no_grad()
    def _encode_all(
        self, chunks: list[dict[str, Any]]
    ) -> tuple[list[dict[str, Tensor]], list[tuple[Tensor, Tensor]], list[Tensor]]:
        """Encode without a graph.

        Returns:
            Of each chunk the random states before it, its video and text features, and its mask.
        """
        states, features, masks = [], [], []
        versions = {name: buffer._version for name, buffer in self.network.named_buffers()}
        # a context of its own, because autocast caches weights without a graph in it
        with self.optim_wrapper.optim_context(self.model):
            for chunk in chunks:
                states.append(random_states())
                inputs = self.network.data_preprocessor(chunk, True)['inputs']
                features.append(self._encoder(inputs, mode='tensor'))
                masks.append(inputs['frame_mask'])
        for name, buffer in self.network.named_buffers():
            if buffer._version != versions[name]:
                raise ValueError(
                    f'a forward pass changes {name} of the model: its chunks would not be encoded '
                    'as a whole batch is; train without a cached batch'
                )
        return states, features, masks

    def _backpropagate(
        self,
        chunks: list[dict[str, Any]],
        states: list[dict[str, Tensor]],
        feature_grads: list[tuple[Tensor, Tensor]],
        direct: list[tuple[nn.Parameter, Tensor]],
        scale: Tensor,
    ) -> None:
        """Encode each chunk again, and propagate the gradients of its features."""
        # DistributedDataParallel waits for the parameters that its forward pass does not use, and
        # with find_unused_parameters it takes their gradients from before that pass
        direct_at = 1 if getattr(self.model, 'find_unused_parameters', False) else len(chunks)
        after = random_states()
        for number, (chunk, state, grads) in enumerate(
            zip(chunks, states, feature_grads, strict=True), start=1
        ):
            encoder = self._reducing_encoder if number == len(chunks) else self._encoder
            restore_random_states(state)
            with torch.enable_grad(), self.optim_wrapper.optim_context(self.model):
                inputs = self.network.data_preprocessor(chunk, True)['inputs']
                features = encoder(inputs, mode='tensor')
            del inputs  # the graph keeps what it needs of the frames
            pairs = list(zip(features, grads, strict=True)) + (
                direct if number == direct_at else []
            )
            # an encoder may be frozen
            pairs = [(tensor, grad) for tensor, grad in pairs if tensor.requires_grad]
            torch.autograd.backward(
                [tensor for tensor, _ in pairs],
                [(grad * scale).to(tensor.dtype) for tensor, grad in pairs],
            )
            if self._on_cpu:
                release_freed_memory()
        restore_random_states(after)

    def _reject_batch_norm(self) -> None:
        for name, module in self.network.named_modules():
            if isinstance(module, _BatchNorm) and module.training:
                raise ValueError(
                    f'{name} computes statistics of a batch, which chunks of a batch do not have: '
                    'freeze it or train without a cached batch'
                )
        self._checked = True


def _split(data: Any, size: int) -> Iterator[Any]:
    """Split a batch of the data loader into chunks; the last one may be smaller."""
    for start in range(0, _batch_size(data), size):
        yield _slice(data, slice(start, start + size))


def _batch_size(data: Any) -> int:
    return _batch_size(data['inputs']['imgs']) if isinstance(data, Mapping) else len(data)


def _slice(data: Any, items: slice) -> Any:
    if isinstance(data, Mapping):
        return {key: _slice(value, items) for key, value in data.items()}
    return None if data is None else data[items]


@LOOPS.register_module()
class CachedBatchTrainLoop(ResumableTrainLoop):
    """`ResumableTrainLoop` whose steps encode the batch in chunks.

    Loss, gradients and weights are those of a step with the whole batch; the memory is that of a
    step with ``chunk_size`` videos. A batch that is not larger takes a plain step.

    Args:
        runner: The runner.
        dataloader: The training data; its batch size is that of the whole batch of a process.
        max_epochs: Total number of epochs.
        chunk_size: Number of videos that are encoded together.
        **kwargs: ``val_begin``, ``val_interval`` and ``dynamic_intervals`` of MMEngine's loop.

    Raises:
        TypeError: If the model is not a TS2Net.
        ValueError: If ``chunk_size`` is not positive, if the model is neither on a CPU nor on a
            CUDA device, or if it computes statistics of a batch.
    """

    _step: CachedStep

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        max_epochs: int,
        *,
        chunk_size: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(runner, dataloader, max_epochs, **kwargs)
        self.chunk_size = chunk_size

    def resume_position(self) -> dict[str, int]:
        """What a checkpoint must store besides epoch and iteration."""
        return super().resume_position() | dict(chunk_size=self.chunk_size)

    def run(self) -> Any:
        """Train."""
        compile_cfg = self.runner.cfg.get('compile')
        self._step = CachedStep(
            self.runner.model,
            self.runner.optim_wrapper,
            chunk_size=self.chunk_size,
            compile_cfg={} if compile_cfg is True else compile_cfg or None,
        )
        size, processes = self.batches.batch_size, self.runner.world_size
        self.runner.logger.info(
            f'cached batch: global batch {size * processes} (processes {processes} x videos '
            f'{size}), chunk_size {self.chunk_size}'
        )
        return super().run()

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Train on a batch."""
        self.runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        outputs = self._step(data_batch)
        self.runner.call_hook(
            'after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs
        )
        self._iter += 1
