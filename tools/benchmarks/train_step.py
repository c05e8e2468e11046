"""One training step of the whole model against the same on torch.nn.MultiheadAttention."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from measuring import Side, measure
from mmaction.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from report import Report
from sequence_first import to_multihead_attention
from torch import Tensor

from ts2net_mm.models import TS2Net

__all__ = ['Sizes', 'run']

CONFIG = Path(__file__).parents[2] / 'configs/ts2net_msrvtt.py'
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Sizes:
    """A batch."""

    videos: int = 8
    frames: int = 12
    words: int = 32


def run(
    repeats: int, sizes: Sizes | None = None, model_cfg: ConfigDict | dict | None = None
) -> Report:
    """Measure steps (preparation of the batch, forward, backward, optimiser) of random weights."""
    sizes = sizes or Sizes()
    cfg = Config.fromfile(CONFIG)
    init_default_scope('mmaction')
    torch.manual_seed(0)
    model = MODELS.build(dict(model_cfg or cfg.model, init_cfg=None))
    model.init_weights()
    model.train()
    other = to_multihead_attention(model)
    data = draw_batch(model, sizes)
    notes = compare(model, other, data)
    sides = []
    for name, one in (('ts2net_mm', model), ('nn.MultiheadAttention', other)):
        optim_wrapper = build_optim_wrapper(one, cfg.optim_wrapper)
        sides.append(Side(name, partial(one.train_step, data, optim_wrapper)))
    size, layers = model.backbone.img_size[0], len(model.backbone.layers)
    return Report(
        f'train step: {sizes.videos} videos x {sizes.frames} frames of {size} x {size} pixels, '
        f'{layers} vision blocks',
        notes,
        measure(sides, repeats),
    )


def draw_batch(model: TS2Net, sizes: Sizes) -> dict:
    """Draw what a data loader gives: random frames and sentences of full length."""
    generator = torch.Generator().manual_seed(0)
    height, width = model.backbone.img_size
    words = model.text_encoder.token_embedding.num_embeddings
    shape = (sizes.videos, sizes.frames, 3, height, width)
    text = torch.randint(words - 1, (sizes.videos, 1, sizes.words), generator=generator)
    text[..., -1] = words - 1  # the end-of-text token
    mask = torch.ones(sizes.videos, sizes.frames, dtype=torch.bool)
    imgs = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    return dict(inputs=dict(imgs=list(imgs), text=list(text), frame_mask=list(mask)))


@torch.no_grad()
def compare(model: TS2Net, other: TS2Net, data: dict) -> list[str]:
    """Check that both models compute the same tokens and, with the same noise, the same loss."""
    outputs = []
    for one in (model, other):
        inputs = one.data_preprocessor(data, training=True)['inputs']
        tokens = one.backbone(inputs['imgs'], inputs['frame_mask'])
        torch.manual_seed(1)
        outputs.append((tokens, _total(one.loss(inputs))))
    for found, expected in zip(*outputs, strict=True):
        torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
    (tokens, loss), (other_tokens, other_loss) = outputs
    return [
        f'tokens differ by at most {(tokens - other_tokens).abs().max():.1e} (their standard '
        f'deviation is {tokens.std():.2f}), losses are {loss:.6f} and {other_loss:.6f}'
    ]


def _total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()
