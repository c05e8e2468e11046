"""Write the encoders of a model as ONNX files, with all that search without torch needs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ts2net_mm.utils.cli import (
    is_missing_weights,
    positive_int,
    require_packages,
    require_path,
    run,
)
from ts2net_mm.utils.files import ensure_new_folder

EPILOG = """\
The folder holds text_encoder.onnx, video_encoder.onnx, export.json (sizes, tokenizer,
preprocessing, similarity), the vocabulary of the tokenizer, and two programs that need
no torch: encode.py and search.py. docs/export.md explains them.

Both files are compared with the model on random inputs, and nothing is written if a
feature differs by more than 1e-4 of its length. --int8 quantises after this check, and
prints how far its features are from the model's.

example:
  python tools/export_onnx.py configs/ts2net_msrvtt.py model.pth --out onnx
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the model')
    parser.add_argument('checkpoint', help='weights of that model, in any format')
    parser.add_argument(
        '--out', required=True, type=Path, metavar='DIR', help='folder to write; must be new'
    )
    parser.add_argument(
        '--selection',
        choices=('fixed_noise', 'hard'),
        help='how the patches of a frame are selected (default: as the config says)',
    )
    parser.add_argument(
        '--frames', type=positive_int, help='frames of a video (default: of the test pipeline)'
    )
    parser.add_argument(
        '--dynamic-frames',
        action='store_true',
        help='accept any number of frames up to this number',
    )
    parser.add_argument('--int8', action='store_true', help='quantise the weights to 8 bits')
    parser.add_argument(
        '--no-check', action='store_true', help='do not compare the files with the model'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Export, print the differences, and return the exit code."""
    return run(export, parse_args(argv))


def export(args: argparse.Namespace) -> None:
    """Write the folder, and print how far its features are from the model's."""
    check_arguments(args)
    from ts2net_mm.apis import RetrievalInferencer
    from ts2net_mm.apis.inferencer import load_config
    from ts2net_mm.export import export_onnx, video_shape
    from ts2net_mm.utils.config_types import type_name

    config = load_config(args.config)
    if args.selection:
        if (neck := type_name(config.model.get('neck'), 'CLSOnly')) != 'TokenSelection':
            raise ValueError(f'--selection is for TokenSelection, the neck of the model is {neck}')
        config.model.neck.test_mode = args.selection
    inferencer = RetrievalInferencer(config, args.checkpoint, device='cpu')
    shape = video_shape(inferencer, num_frames=args.frames, dynamic=args.dynamic_frames)
    differences = export_onnx(
        inferencer, args.out, shape=shape, int8=args.int8, check=not args.no_check
    )
    for path in sorted(args.out.iterdir()):
        line = f'{path}, {path.stat().st_size / 1e6:,.1f} MB'
        if path.name in differences:
            line += f'; its features differ from those of the model by {differences[path.name]:.0e}'
        print(line)


def check_arguments(args: argparse.Namespace) -> None:
    """Raise an error for what is missing, before the imports that take seconds."""
    require_path('config', args.config)
    if is_missing_weights(args.checkpoint):
        raise FileNotFoundError(f'checkpoint {args.checkpoint} does not exist')
    ensure_new_folder(args.out)
    require_packages('the export', ('onnx', 'onnxscript', 'onnxruntime'), 'onnx')


if __name__ == '__main__':
    sys.exit(main())
