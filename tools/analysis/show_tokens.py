"""Show what a model does with the tokens of a video, given a sentence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ts2net_mm.utils.cli import require_path, run, sentence

EPILOG = """\
For each frame: its weight in the similarity with the sentence, the patches that the
token selection keeps, their scores, the weight of each patch in each slot, and the
tokens that the token shift takes from other frames. What a model lacks is named.

In DIR are tokens_<STEP>.html, a self-contained page with the numbers, tokens_<STEP>.png
with everything, and a picture for each subject. With --tensorboard the same pictures
can be seen with 'tensorboard --logdir DIR'. A step for each of several checkpoints
shows them side by side.

exit codes: 0 done, 1 error, 2 wrong arguments

example:
  python tools/analysis/show_tokens.py configs/ts2net_moving-shapes.py \\
      work_dirs/quickstart/epoch_60.pth data/moving_shapes/test/000062.mp4 \\
      --caption 'the white circle goes left before it becomes larger' --out tokens
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the model')
    parser.add_argument('checkpoint', help='weights of that model, in any format')
    parser.add_argument('video', type=Path, help='video file')
    parser.add_argument('--caption', type=sentence, required=True, help='a sentence')
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DIR', help='folder for the page and pictures'
    )
    parser.add_argument(
        '--step', type=int, default=0, help='number in the names of the files (default: 0)'
    )
    parser.add_argument(
        '--tensorboard', action='store_true', help='write the pictures for TensorBoard too'
    )
    parser.add_argument('--device', help="such as 'cpu' or 'cuda:1' (default: a GPU if any)")
    return parser.parse_args(argv)


def show(args: argparse.Namespace) -> None:
    """Record, draw and write."""
    require_path('video', args.video)
    from mmengine.visualization import Visualizer

    from ts2net_mm.apis import RetrievalInferencer
    from ts2net_mm.apis.reading import PipelineReader
    from ts2net_mm.utils.files import ensure_folder
    from ts2net_mm.utils.workers import Failure
    from ts2net_mm.visualization import (
        draw_strips,
        record_tokens,
        stack_strips,
        write_token_page,
    )

    folder = ensure_folder(args.out, 'output folder')
    inferencer = RetrievalInferencer(args.config, args.checkpoint, device=args.device)
    item = PipelineReader(pipeline=inferencer.video_pipeline)(str(args.video))
    if isinstance(item, Failure):
        raise ValueError(f'cannot read video {args.video}: {item.reason}')
    record = record_tokens(
        inferencer.model,
        item['inputs'],
        inferencer.encode_texts([args.caption]),
        name=args.video.name,
        caption=args.caption,
        seconds=item['frame_seconds'],
    )
    strips = draw_strips(record)
    backends = [dict(type='LocalVisBackend', save_dir=str(folder), img_save_dir='.')]
    if args.tensorboard:
        backends.append(dict(type='TensorboardVisBackend', save_dir=str(folder)))
    visualizer = Visualizer(vis_backends=backends)
    visualizer.add_image('tokens', stack_strips(strips), args.step)
    for strip in strips:
        visualizer.add_image(strip.name, strip.image, args.step)
    visualizer.close()
    page = folder / f'tokens_{args.step}.html'
    write_token_page(page, record, strips, model=inferencer.name)
    print(f'page: {page}')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    return run(show, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
