"""Test a checkpoint as MMAction2's tools/test.py does, and print the retrieval table."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

    from ts2net_mm.checkpoints import Checkpoint


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    from ts2net_mm.utils.cli import add_config_arguments

    parser = argparse.ArgumentParser(description='Test a text-video retrieval model.')
    add_config_arguments(parser)
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument(
        'checkpoint',
        nargs='?',
        help="weights for the config's model, in any format: file, folder, URL or name (ViT-B/32)",
    )
    weights.add_argument(
        '--from-weights',
        metavar='FILE',
        help='weights from whose shapes the model is inferred; the config needs no model then',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='encode in half precision: bf16 on a CPU, fp16 on a GPU; ranks hardly change',
    )
    parser.add_argument(
        '--dump',
        type=Path,
        metavar='FILE.pkl|FILE.npz',
        help='.pkl: every prediction, as in MMAction2; .npz: the similarity matrix and captions',
    )
    return parser


def set_model(cfg: Config, checkpoint: Checkpoint) -> None:
    """Replace the config's model by that of the weights, and add what a test run needs."""
    from ts2net_mm.checkpoints import config_of
    from ts2net_mm.utils.config_types import type_name

    model = config_of(checkpoint)
    if preprocessor := cfg.get('model', {}).get('data_preprocessor'):
        model['data_preprocessor'] = preprocessor
    cfg.model = dict(model, _scope_='mmaction')
    defaults = dict(default_scope='mmaction', test_cfg=dict(type='TestLoop'), launcher='none')
    for key, value in defaults.items():
        cfg.setdefault(key, value)
    hooks = list(cfg.get('custom_hooks') or [])
    if not any(type_name(hook) == 'StrictCheckpointHook' for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type='mmaction.StrictCheckpointHook')]


def add_dump(cfg: Config, path: Path) -> None:
    """Make the evaluation write a file."""
    from ts2net_mm.utils.cli import WrongArgumentError
    from ts2net_mm.utils.config_types import type_name

    evaluators = cfg.test_evaluator
    evaluators = list(evaluators) if isinstance(evaluators, list | tuple) else [evaluators]
    if path.suffix in ('.pkl', '.pickle'):
        evaluators.append(dict(type='DumpResults', out_file_path=str(path)))
    else:
        ours = [e for e in evaluators if type_name(e) == 'TextVideoRetrievalMetric']
        if not ours:
            raise WrongArgumentError(
                '--dump FILE.npz needs a TextVideoRetrievalMetric in test_evaluator'
            )
        ours[0]['dump'] = str(path)
    cfg.test_evaluator = evaluators


def test(parser: argparse.ArgumentParser, args: argparse.Namespace, cfg: Config) -> None:
    """Test and print the table."""
    from mmaction.registry import RUNNERS
    from mmengine.dist import is_main_process
    from mmengine.runner import Runner

    from ts2net_mm.checkpoints import read_checkpoint
    from ts2net_mm.engine.command_line import leave_processes
    from ts2net_mm.engine.config_errors import require_settings
    from ts2net_mm.evaluation import format_table

    weights = args.checkpoint or args.from_weights
    try:
        checkpoint = read_checkpoint(weights)
        if args.from_weights:
            set_model(cfg, checkpoint)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    needed = ('model', 'test_dataloader', 'test_evaluator', 'test_cfg')
    require_settings(cfg, *needed, purpose='testing')
    if args.amp:
        cfg.test_cfg.fp16 = True  # MMEngine's name for autocast, which takes bf16 on a CPU
    cfg.load_from = weights
    cfg.resume = False
    if args.dump is not None:
        add_dump(cfg, args.dump)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    metrics = runner.test()
    if is_main_process():
        print(format_table(metrics))
    leave_processes()


def main() -> int:
    """Run the command line and return the exit code."""
    parser = build_parser()
    from ts2net_mm.utils.cli import is_missing_weights, parse_config_arguments, run
    from ts2net_mm.utils.files import ensure_writable

    args = parse_config_arguments(parser)
    if is_missing_weights(weights := args.checkpoint or args.from_weights):
        parser.error(f'checkpoint {weights} does not exist')
    if args.dump is not None:
        if args.dump.suffix not in ('.pkl', '.pickle', '.npz'):
            parser.error(f'--dump {args.dump} must end in .pkl, .pickle or .npz')
        try:
            ensure_writable(args.dump, '--dump')
        except OSError as error:
            parser.error(str(error))
    # imported here, so that --help and wrong arguments need no torch
    from ts2net_mm.engine.command_line import config_from_arguments, own_rank
    from ts2net_mm.engine.config_errors import explain_error

    cfg: Config | None = None

    def work() -> None:
        nonlocal cfg
        cfg = config_from_arguments(parser, args)
        test(parser, args, cfg)

    return run(
        work,
        explain=lambda error: explain_error(error, cfg),
        when_stopped=lambda: '' if own_rank() == 0 else None,
    )


if __name__ == '__main__':
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback from an import
    code = main()
    from ts2net_mm.engine.command_line import end_process  # main has imported it already

    end_process(code)
