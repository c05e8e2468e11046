"""Convert CLIP, CLIP4Clip and TS2-Net weights losslessly from any known format to another."""

import argparse
import sys
from pathlib import Path

EPILOG = """\
SRC may be a file (torch, TorchScript, safetensors), a folder of Hugging Face or
open_clip, a URL, or ViT-B/32, ViT-B/16, ViT-L/14 or ViT-L/14@336px for OpenAI's
CLIP. Its format is recognised by its keys.

DST ends in .pth or .safetensors; with --to huggingface it may also be a folder,
which transformers' CLIPModel.from_pretrained can open. Values and dtypes do not
change. It is an error if the other format cannot express the model.

examples:
  python tools/convert_weights.py pytorch_model.bin.4 ts2net.pth --to ts2net_mm
  python tools/convert_weights.py ViT-B/32 clip-vit-b32 --to huggingface
"""


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', metavar='SRC', help='weights to read')
    parser.add_argument('dst', metavar='DST', type=Path, help='file or folder to write')
    parser.add_argument(
        '--to',
        required=True,
        choices=('ts2net_mm', 'openai', 'huggingface', 'open_clip', 'released'),
        help='format to write; "released" is the one of TS2-Net and CLIP4Clip',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace DST if it exists')
    return parser


def main() -> int:
    """Run the command line and return the exit code."""
    parser = build_parser()
    args = parser.parse_args()
    if args.dst.exists() and not args.overwrite:
        parser.error(f'{args.dst} exists; --overwrite replaces it')
    # imported here, so that --help and wrong arguments do not wait for torch
    from ts2net_mm.utils.cli import run

    return run(convert, args)


def convert(args: argparse.Namespace) -> None:
    """Read, convert, write, and print what was written."""
    from ts2net_mm.utils.cli import is_missing_weights

    if is_missing_weights(args.src):
        raise FileNotFoundError(f'checkpoint {args.src} does not exist')
    from ts2net_mm.checkpoints import convert_checkpoint, read_checkpoint, save_weights

    checkpoint = read_checkpoint(args.src)
    state_dict, config = convert_checkpoint(
        checkpoint, args.to, has_config_json=not args.dst.suffix
    )
    save_weights(args.dst, state_dict, config, args.to)
    weights = sum(tensor.numel() for tensor in state_dict.values())
    print(f'{args.dst}: {len(state_dict)} tensors, {weights:,} numbers, {args.to} format')


if __name__ == '__main__':
    sys.exit(main())
