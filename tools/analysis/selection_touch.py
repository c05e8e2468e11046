"""Report how often the patches that a model selects touch what the sentence is about."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ts2net_mm.utils.cli import require_path, run

if TYPE_CHECKING:
    from mmengine.config import Config

    from ts2net_mm.models import TS2Net

EPILOG = """\
The boxes are in {split}_boxes.json of a rendered data set; the config decodes its
videos (not a frame store). Several checkpoints, such as those of a training, give a row
each. A patch counts if a pixel of the box is in it. Chance is that of patches at random.

example:
  python tools/analysis/selection_touch.py configs/ts2net_small-objects.py \\
      work_dirs/small/epoch_10.pth work_dirs/small/epoch_60.pth
"""
HEADER = '| checkpoint | patches that touch, % | chance | frames with one, % | chance |'


@dataclass(frozen=True)
class Touches:
    """Counts of the frames of a data set.

    Args:
        chosen: Of the K chosen patches of each frame, how many touch the box.
        touched: Of all patches of the frame, how many do.
        topk: K.
        num_patches: Patches of a frame.
    """

    chosen: np.ndarray
    touched: np.ndarray
    topk: int
    num_patches: int

    def rates(self) -> tuple[float, float, float, float]:
        """Percent of chosen patches that touch and of frames with one, each with its chance."""
        ways = comb(self.num_patches, self.topk)
        missed = [comb(self.num_patches - int(n), self.topk) / ways for n in self.touched]
        shares = (
            self.chosen.mean() / self.topk,
            self.touched.mean() / self.num_patches,
            (self.chosen > 0).mean(),
            1 - np.mean(missed),
        )
        first, second, third, fourth = (100 * float(share) for share in shares)
        return first, second, third, fourth


def touched_patches(
    boxes: np.ndarray, frame_shape: tuple[int, int], img_size: int, grid: int
) -> np.ndarray:
    """Find the patches that boxes touch, after a resize of the short side and a centre crop.

    Args:
        boxes: x0, y0, x1, y1 (exclusive) in pixels of the video.
        frame_shape: Height and width of the video.
        img_size: Height and width of the crop.
        grid: Patches in a row of the crop.

    Shape:
        boxes: (T, 4) -> (T, grid * grid), bool.
    """
    height, width = frame_shape
    scale = img_size / min(height, width)
    margins = (np.array([width, height]) * scale - img_size) / 2
    starts, ends = boxes[:, :2] * scale - margins, boxes[:, 2:] * scale - margins
    edges = np.arange(grid + 1) * img_size / grid
    columns, rows = (
        (starts[:, axis, None] < edges[1:]) & (ends[:, axis, None] > edges[:-1]) for axis in (0, 1)
    )
    return (rows[:, :, None] & columns[:, None]).reshape(len(boxes), -1)


def build_loader(cfg: Config, split: str) -> Iterable[Any]:
    """Load the videos of a split, with their frame numbers and sizes."""
    from mmengine.runner import Runner

    loader = cfg[f'{split}_dataloader']
    packing = loader.dataset.pipeline[-1]
    packing.meta_keys = (*packing.get('meta_keys', ()), 'frame_inds', 'original_shape')
    return Runner.build_dataloader(loader)


def count_touches(model: TS2Net, batches: Iterable[Any], boxes: dict[str, Any]) -> Touches:
    """Encode the videos and compare the patches with the best scores to the boxes."""
    import torch

    from ts2net_mm.models.layers.perturbed_topk import hard_topk

    neck: Any = model.neck
    kept: list[torch.Tensor] = []
    hook = neck.register_forward_hook(lambda *call: kept.append(neck.patch_scores(*call[1])))
    chosen, touched = [], []
    for batch in batches:
        data = model.data_preprocessor(batch, False)
        imgs, mask = data['inputs']['imgs'], data['inputs']['frame_mask']
        with torch.no_grad():
            model.encode_video(imgs, mask)
        scores = kept.pop()
        best = hard_topk(scores.flatten(0, 1), neck.topk).unflatten(0, scores.shape[:2])
        for sample, patches, valid in zip(data['data_samples'], best, mask, strict=True):
            own = np.array(boxes[sample.video_id])[np.ravel(sample.frame_inds)]
            grid = round(scores.shape[-1] ** 0.5)
            touches = touched_patches(own, sample.original_shape, imgs.shape[-1], grid)
            hits = np.take_along_axis(touches, patches.numpy(), axis=1).sum(axis=1)
            chosen.append(hits[valid.numpy()])
            touched.append(touches.sum(axis=1)[valid.numpy()])
    hook.remove()
    return Touches(np.concatenate(chosen), np.concatenate(touched), neck.topk, scores.shape[-1])


def report(args: argparse.Namespace) -> None:
    """Print a row for each checkpoint."""
    for checkpoint in args.checkpoints:
        require_path('checkpoint', checkpoint)
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from ts2net_mm.checkpoints import load_weights

    cfg = Config.fromfile(args.config)
    dataset = cfg[f'{args.split}_dataloader'].dataset
    path = args.boxes or Path(dataset.data_root) / f'{args.split}_boxes.json'
    require_path('file of boxes', path)
    boxes = json.loads(path.read_text(encoding='utf-8'))
    init_default_scope('mmaction')
    model = MODELS.build(cfg.model).eval()
    neck: Any = model.neck
    if not hasattr(neck, 'patch_scores'):
        raise ValueError(f'config {args.config}: {type(neck).__name__} chooses no patches')
    if not neck.first_candidate:
        raise ValueError(
            f'config {args.config}: with [CLS] among the candidates the number of chosen patches '
            'differs from frame to frame, and so does chance'
        )
    loader = build_loader(cfg, args.split)
    print(HEADER)
    print('| --- ' * 5 + '|')
    for checkpoint in args.checkpoints:
        load_weights(model, checkpoint)
        rates = count_touches(model, loader, boxes).rates()
        print(f'| {checkpoint} | {" | ".join(f"{rate:.1f}" for rate in rates)} |', flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='config file')
    parser.add_argument('checkpoints', nargs='+', type=Path, help='weights of its model')
    parser.add_argument(
        '--split', choices=('val', 'test'), default='val', help='whose videos (default: val)'
    )
    parser.add_argument(
        '--boxes', type=Path, help='file of boxes (default: <split>_boxes.json of the data set)'
    )
    args = parser.parse_args(argv)
    if not args.config.is_file():
        parser.error(f'config {args.config} does not exist')
    return run(report, args)


if __name__ == '__main__':
    sys.exit(main())
