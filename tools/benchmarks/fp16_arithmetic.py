"""What does it change that the released recipe updates CLIP's matrices in fp16?

The first table is of the optimiser alone: how far a matrix moves under random gradients of one
size. The others train the quickstart's small TS2-Net with the optimiser settings of
configs/ts2net_msrvtt.py, from one seed on one stream of rendered videos, in fp32 and with
fp16_arithmetic: with the recipe's global clip, and with one that gives so few weights gradients no
larger than those of the full-size model can be.
"""

import argparse
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import torch
from measuring import describe_machine
from mmaction.registry import MODELS, PARAM_SCHEDULERS
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from ts2net_mm.engine import BertAdam
from ts2net_mm.models import TS2Net
from ts2net_mm.rendered.moving_shapes import MOVING_SHAPES
from ts2net_mm.utils.cli import positive_int

CONFIGS = Path(__file__).parents[2] / 'configs'
CLIP_RATE = 1e-7
GRADIENT_RMS = (1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
WEIGHT_STD = (0.01, 0.02, 0.05)
PARTS = ("CLIP's matrices", "CLIP's other weights", 'new modules')
ENDS = 10  # steps whose mean loss is shown


@dataclass(frozen=True)
class Sizes:
    """What is trained, and for how long."""

    matrix: int = 256
    matrix_steps: int = 300
    videos: int = 400
    batch: int = 16
    steps: int = 200


@dataclass(frozen=True)
class Outcome:
    """What a training did.

    Args:
        losses: Loss of each step.
        moved: Mean absolute movement of each of the ``PARTS``.
        gradient_rms: Root mean square of the clipped gradient of CLIP's matrices.
    """

    losses: list[float]
    moved: list[float]
    gradient_rms: float


def movement_of_a_matrix(sizes: Sizes, *, rms: float, std: float, fp16: bool) -> float:
    """Mean absolute movement under random gradients at the recipe's rate for CLIP."""
    generator = torch.Generator().manual_seed(0)
    shape = (sizes.matrix, sizes.matrix)
    start = (std * torch.randn(shape, generator=generator)).half().float()
    weight = nn.Parameter(start.clone())
    optimizer = BertAdam([weight], lr=CLIP_RATE, fp16_arithmetic=fp16)
    for _ in range(sizes.matrix_steps):
        weight.grad = rms * torch.randn(shape, generator=generator)
        optimizer.step()
    return (weight.detach() - start).abs().mean().item()


def compare_alone(sizes: Sizes) -> str:
    """Tabulate the movements of the optimiser alone."""
    rows = [['gradient rms']]
    for std in WEIGHT_STD:
        rows[0] += [f'std {std:g}: fp32', 'fp16', 'ratio']
    for rms in GRADIENT_RMS:
        rows.append([f'{rms:.0e}'])
        for std in WEIGHT_STD:
            fp32, fp16 = (
                movement_of_a_matrix(sizes, rms=rms, std=std, fp16=fp16) for fp16 in (False, True)
            )
            rows[-1] += [f'{fp32:.1e}', f'{fp16:.1e}', f'{fp16 / fp32:.2f}']
    return format_rows(rows)


def render_batches(small: Config, sizes: Sizes) -> list[dict]:
    """Render moving shapes, and draw the batches of a training from them."""
    tokenizer = SimpleTokenizer(context_length=small.max_words)
    rng = np.random.default_rng(0)
    imgs, text = [], []
    for video in MOVING_SHAPES.plan_videos(0, sizes.videos)['train']:
        frames = video.draw()
        chosen = np.linspace(0, len(frames) - 1, small.num_frames).round().astype(int)
        shape = (small.img_size, small.img_size)
        resized = [cv2.resize(frames[i], shape, interpolation=cv2.INTER_AREA) for i in chosen]
        imgs.append(torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2))
        text.append(tokenizer([video.captions[0]]))

    def draw_batch() -> dict[str, list[Tensor]]:
        items = rng.choice(sizes.videos, size=sizes.batch, replace=False)
        return dict(imgs=[imgs[i] for i in items], text=[text[i] for i in items])

    return [dict(inputs=draw_batch()) for _ in range(sizes.steps)]


def build_model(small: Config) -> TS2Net:
    """Build the quickstart's model, always with the same weights, frozen as in the recipe."""
    model_cfg = deepcopy(small.model)
    for part in (model_cfg.backbone, model_cfg.text_encoder):
        part.frozen_stages = 0
    torch.manual_seed(0)
    model = MODELS.build(model_cfg)
    model.init_weights()
    return model.train()


def build_wrapper(model: TS2Net, recipe: Config, **settings: object) -> OptimWrapper:
    """Build the recipe's optimiser wrapper with other settings of ``paramwise_cfg``."""
    wrapper_cfg: ConfigDict = deepcopy(recipe.optim_wrapper)
    wrapper_cfg.paramwise_cfg.update(settings)
    return build_optim_wrapper(model, wrapper_cfg)


def sort_weights(model: TS2Net, recipe: Config) -> list[list[nn.Parameter]]:
    """Split the trained weights into the ``PARTS``."""
    parts: list[list[nn.Parameter]] = [[] for _ in PARTS]
    for group in build_wrapper(model, recipe, fp16_arithmetic=True).optimizer.param_groups:
        is_new = group['lr'] == recipe.optim_wrapper.optimizer.lr
        parts[0 if group['fp16_arithmetic'] else 1 + is_new].extend(group['params'])
    return parts


def train(model: TS2Net, recipe: Config, batches: Sequence[dict], *, fp16: bool) -> Outcome:
    """Train a model by the recipe."""
    parts = sort_weights(model, recipe)
    for weight in parts[0]:
        weight.data = weight.data.half().float()  # as OpenAI's files are
    start = [[weight.detach().clone() for weight in part] for part in parts]
    wrapper = build_wrapper(model, recipe, fp16_arithmetic=fp16)
    schedule = dict(recipe.param_scheduler, optimizer=wrapper, end=len(batches))
    scheduler = PARAM_SCHEDULERS.build(schedule)
    losses, squares = [], []
    torch.manual_seed(1)  # of the selection's noise
    for batch in batches:
        inputs = model.data_preprocessor(batch, training=True)['inputs']
        loss = torch.stack(list(model.loss(inputs).values())).sum()
        wrapper.backward(loss)
        wrapper.step()
        squares.append(mean_of([weight.grad**2 for weight in parts[0] if weight.grad is not None]))
        wrapper.zero_grad()
        scheduler.step()
        losses.append(loss.item())
    moved = [
        mean_of([(weight.detach() - old).abs() for weight, old in zip(part, before, strict=True)])
        for part, before in zip(parts, start, strict=True)
    ]
    return Outcome(losses, moved, fmean(squares) ** 0.5)


def mean_of(tensors: Sequence[Tensor]) -> float:
    """Mean over all elements of several tensors."""
    return sum(t.sum().item() for t in tensors) / sum(t.numel() for t in tensors)


def full_size_clip(small: Config, recipe: Config) -> float:
    """Global clip that bounds the small model's gradient rms as the recipe's does at full size."""
    with torch.device('meta'):
        full_size = MODELS.build(recipe.model)
    small_count, full_count = (
        sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        for model in (build_model(small), full_size)
    )
    return recipe.optim_wrapper.clip_grad.max_norm * (small_count / full_count) ** 0.5


def compare_trained(small: Config, recipe: Config, batches: Sequence[dict]) -> str:
    """Train twice from the same weights on the same batches, and tabulate what happened."""
    fp32, fp16 = (train(build_model(small), recipe, batches, fp16=fp16) for fp16 in (False, True))
    rows = [['', 'fp32', 'fp16_arithmetic', 'ratio']]
    for name, plain, half in zip(PARTS, fp32.moved, fp16.moved, strict=True):
        rows.append([f'movement of {name}', f'{plain:.1e}', f'{half:.1e}', f'{half / plain:.2f}'])
    rms = [f'{one.gradient_rms:.1e}' for one in (fp32, fp16)]
    rows.append(["gradient rms of CLIP's matrices", *rms, ''])
    for name, part in (('first', slice(ENDS)), ('last', slice(-ENDS, None))):
        means = [f'{fmean(one.losses[part]):.3f}' for one in (fp32, fp16)]
        rows.append([f'mean loss of the {name} {ENDS} steps', *means, ''])
    return format_rows(rows)


def format_rows(rows: Sequence[Sequence[str]]) -> str:
    """Align the columns of a table, the first to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append('  '.join((f'  {name.ljust(widths[0])}', *aligned)).rstrip())
    return '\n'.join(lines)


def run(sizes: Sizes) -> None:
    """Print all tables."""
    init_default_scope('mmaction')
    small = Config.fromfile(CONFIGS / 'ts2net_moving-shapes.py')
    recipe = Config.fromfile(CONFIGS / 'ts2net_msrvtt.py')
    print(
        f'\noptimiser alone: mean movement of {sizes.matrix} x {sizes.matrix} weights in '
        f'{sizes.matrix_steps} steps at the rate {CLIP_RATE:g}, std: spread of the weights\n\n'
        f'{compare_alone(sizes)}',
        flush=True,
    )
    batches = render_batches(small, sizes)
    for clip in (recipe.optim_wrapper.clip_grad.max_norm, full_size_clip(small, recipe)):
        recipe.optim_wrapper.clip_grad.max_norm = clip
        print(
            f'\nsmall TS2-Net: {sizes.steps} steps of {sizes.batch} videos, global clip '
            f'{clip:.3g}\n\n{compare_trained(small, recipe, batches)}',
            flush=True,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--steps', type=positive_int, default=200, help='of each training (default: 200)'
    )
    parser.add_argument('--threads', type=positive_int, help="threads of torch (default: torch's)")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    MMLogger.get_instance('benchmarks', log_level='ERROR')  # else each drawn weight is logged
    print(describe_machine())
    run(Sizes(steps=args.steps))


if __name__ == '__main__':
    main()
