"""A training step of this package against a model that is shaped as the released code is.

The other side is written from the description of the paper and its code: the sequence is the first
axis, attention is `torch.nn.MultiheadAttention`, QuickGELU takes three elementwise operations that
keep their inputs, the selection holds the one-hot vectors of all samples, and the optimiser updates
one tensor after the other. It uses the weights of ours, and none of the blocks, so that it stays
the same when those change.
"""

import copy
from functools import partial
from pathlib import Path

import torch
from measuring import Measurement
from mmaction.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from optimizer import LoopBertAdam
from processes import Job, LazySide, measure_apart
from report import Report
from selection import plain_topk
from sequence_first import SequenceFirstBlock, to_multihead_attention
from torch import Tensor, nn
from train_step import Sizes, draw_batch

from ts2net_mm.models import TokenSelection, TS2Net
from ts2net_mm.models.layers.perturbed_topk import draw_noise

__all__ = ['build_model', 'plain_step', 'run', 'to_released_shape']

CONFIGS = Path(__file__).parents[2] / 'configs'
TOLERANCE = 1e-4
OURS = {
    'ts2net_mm': 'ts2net_msrvtt.py',
    'ts2net_mm, activation checkpointing': 'features/activation_checkpointing.py',
}


class PlainFeedForward(nn.Module):
    """The feed-forward part of a CLIP block, each operation by itself."""

    def __init__(self, first: nn.Linear, second: nn.Linear) -> None:
        super().__init__()
        self.first, self.second = copy_linear(first), copy_linear(second)

    def forward(self, x: Tensor, identity: Tensor) -> Tensor:
        """Add the result to the residual stream."""
        hidden = self.first(x)
        return identity + self.second(hidden * torch.sigmoid(1.702 * hidden))


class OneHotSelection(TokenSelection):
    """The token selection through the one-hot vectors of all samples, for training."""

    def _choose(self, scores: Tensor) -> Tensor:
        shape = (len(scores), self.num_samples, scores.shape[1])
        noise = draw_noise(shape, device=scores.device, dtype=scores.dtype)
        return plain_topk(scores, noise, self.topk, self.sigma)


def copy_linear(linear: nn.Linear) -> nn.Linear:
    copied = nn.Linear(linear.in_features, linear.out_features)
    copied.load_state_dict(linear.state_dict())
    return copied


def copy_norm(norm: nn.LayerNorm) -> nn.LayerNorm:
    copied = nn.LayerNorm(norm.normalized_shape, eps=norm.eps)
    copied.load_state_dict(norm.state_dict())
    return copied


def to_released_shape(model: TS2Net) -> TS2Net:
    """Copy a model and its weights into the shape of the released code."""
    model = to_multihead_attention(model)
    for block in model.modules():
        if isinstance(block, SequenceFirstBlock):
            block.ln1, block.ln2 = copy_norm(block.ln1), copy_norm(block.ln2)
            block.ffn = PlainFeedForward(block.ffn.layers[0][0], block.ffn.layers[1])
    neck = model.neck
    model.neck = OneHotSelection(
        embed_dims=neck.token_mlp[0].normalized_shape[0],
        topk=neck.topk,
        num_samples=neck.num_samples,
        sigma=neck.sigma,
    )
    model.neck.load_state_dict(neck.state_dict())
    return model.train()


def build_model(model_cfg: ConfigDict | dict) -> TS2Net:
    """A model with random weights, always the same, as in training."""
    init_default_scope('mmaction')
    torch.manual_seed(0)
    model = MODELS.build(dict(model_cfg, init_cfg=None))
    model.init_weights()
    return model.train()


def output_of(model: TS2Net, data: dict) -> float:
    """The loss with the same selection noise on every side."""
    torch.manual_seed(1)
    with torch.no_grad():
        losses = model.loss(model.data_preprocessor(copy.deepcopy(data), True)['inputs'])
    return float(torch.stack(list(losses.values())).sum())


def our_step(config: str, sizes: Sizes, model_cfg: dict | None = None) -> Job:
    """Build a step of the package under one of its configs."""
    cfg = Config.fromfile(CONFIGS / config)
    model = build_model(model_cfg or cfg.model)
    data = draw_batch(model, sizes)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    return Job(partial(model.train_step, data, optim_wrapper), partial(output_of, model, data))


def released_step(sizes: Sizes, model_cfg: dict | None = None) -> Job:
    """Build a step of the model in the shape of the released code."""
    cfg = Config.fromfile(CONFIGS / 'ts2net_msrvtt.py')
    model = build_model(model_cfg or cfg.model)
    data = draw_batch(model, sizes)
    model = to_released_shape(model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    optimizer = LoopBertAdam(groups, lr=cfg.optim_wrapper.optimizer.lr)
    step = partial(plain_step, model, optimizer, data, cfg.optim_wrapper.clip_grad.max_norm)
    return Job(step, partial(output_of, model, data))


def plain_step(
    model: TS2Net, optimizer: torch.optim.Optimizer, data: dict, max_norm: float
) -> None:
    """Run forward, backward, the clip of all gradients and the optimiser."""
    losses = model.loss(model.data_preprocessor(data, training=True)['inputs'])
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    parameters = [p for group in optimizer.param_groups for p in group['params']]
    nn.utils.clip_grad_norm_(parameters, max_norm)
    optimizer.step()


def run(repeats: int, sizes: Sizes | None = None, model_cfg: dict | None = None) -> Report:
    """Measure steps of random weights, each side in a process of its own."""
    sizes = sizes or Sizes()
    sides = [
        LazySide(name, partial(our_step, config, sizes, model_cfg)) for name, config in OURS.items()
    ]
    sides.append(LazySide('shaped as released', partial(released_step, sizes, model_cfg)))
    measurements, losses = measure_apart(sides, repeats)
    return Report(
        f'train step: {sizes.videos} videos x {sizes.frames} frames',
        [compare(losses), memory_ratio(measurements)],
        measurements,
    )


def compare(losses: dict[str, float]) -> str:
    """Check that all sides compute the same loss."""
    expected, *others = losses.values()
    for name, loss in losses.items():
        assert abs(loss - expected) <= TOLERANCE * abs(expected), f'{name}: {loss}, not {expected}'
    difference = max(abs(other - expected) for other in others)
    return f'the loss is {expected:.6f}, and differs between the sides by at most {difference:.1e}'


def memory_ratio(measurements: list[Measurement]) -> str:
    """State the memory the other way round than the rows do."""
    ours, *_, released = measurements
    if not (ours.process_peak and released.process_peak):
        return 'the memory is known on Linux only'
    return (
        f'memory of the process, ours / released: {ours.process_peak / released.process_peak:.2f}'
    )
