"""Count parameters of each part of a model, and the multiply-adds of one video and one text."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from report import Table
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import ts2net_mm  # noqa: F401  (registers the model)

CONFIGS = tuple(
    Path(__file__).parents[2] / 'configs' / name
    for name in ('ts2net_msrvtt.py', 'ts2net_vit-b16_msrvtt.py')
)
SIDES = {'backbone': 'video', 'neck': 'video', 'head': 'video', 'text_encoder': 'text'}


@torch.no_grad()
def multiply_adds(run: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """Run a part, and count the multiply-adds of its products of matrices, attention included."""
    # plain attention, whose products are counted on every device
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        result = run()
    return result, counter.get_total_flops() // 2


def complexity(cfg: Config, frames: int, words: int) -> dict[str, tuple[int, int]]:
    """Tell parameters and multiply-adds of each part of the model."""
    init_default_scope('mmaction')
    model = MODELS.build(cfg.model).eval()
    size = model.backbone.img_size
    imgs, mask = torch.zeros(1, frames, 3, *size), torch.ones(1, frames, dtype=torch.bool)
    text = torch.zeros(1, words, dtype=torch.long)
    counts = {}
    tokens, counts['backbone'] = multiply_adds(lambda: model.backbone(imgs, mask))
    selected, counts['neck'] = multiply_adds(lambda: model.neck(tokens))
    _, counts['head'] = multiply_adds(lambda: model.head(selected, mask))
    _, counts['text_encoder'] = multiply_adds(lambda: model.text_encoder(text))
    return {
        name: (sum(p.numel() for p in getattr(model, name).parameters()), counts[name])
        for name in SIDES
    }


def run(
    configs: Sequence[Path] = CONFIGS, settings: Sequence[tuple[int, int]] = ((12, 32), (64, 64))
) -> Table:
    """Count for each config and each number of frames and words."""
    columns, parts = ['', 'of a'], {name: [name, side] for name, side in SIDES.items()}
    for path in configs:
        columns.append(f'parameters, {path.stem}')
        for index, (frames, words) in enumerate(settings):
            columns.append(f'multiply-adds, {frames} frames, {words} words')
            for name, (weights, count) in complexity(Config.fromfile(path), frames, words).items():
                parts[name] += [] if index else [f'{weights:,}']
                parts[name].append(f'{count / 1e9:,.3f} G')
    return Table(
        'parameters and multiply-adds of one video and one text, attention included',
        [],
        columns,
        list(parts.values()),
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=Path, nargs='+', help='config files')
    parser.add_argument('--frames', type=int, default=12, help='frames of the video (default: 12)')
    parser.add_argument('--words', type=int, default=32, help='tokens of the text (default: 32)')
    args = parser.parse_args()
    print(run(args.config, [(args.frames, args.words)]))


if __name__ == '__main__':
    main()
