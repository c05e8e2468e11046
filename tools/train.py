"""Train a model; takes what MMAction2's tools/train.py takes."""

import argparse
import sys
from pathlib import Path

from mmaction.registry import RUNNERS
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

import ts2net_mm  # noqa: F401  (registers the parts before any config is read)
from ts2net_mm.engine import NotFiniteError
from ts2net_mm.engine.command_line import (
    INTERRUPTED,
    add_config_arguments,
    config_from_arguments,
    is_expected,
    leave_processes,
)
from ts2net_mm.engine.resuming import (
    NoCheckpointError,
    checkpoints_to_resume,
    is_complete,
    newest_complete,
)


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description='Train a text-video retrieval model.')
    add_config_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint, or from the newest one of the work folder if none is named',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (on a GPU)')
    parser.add_argument('--no-validate', action='store_true', help='train without validation')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by real batch over auto_scale_lr.base_batch_size',
    )
    parser.add_argument('--seed', type=int, help='random seed')
    parser.add_argument(
        '--diff-rank-seed', action='store_true', help='another seed for each process'
    )
    parser.add_argument(
        '--deterministic', action='store_true', help='deterministic algorithms where torch has them'
    )
    return parser


def merge_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Put the training arguments into the config."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint.pop('save_best', None)
    if args.amp:
        from ts2net_mm.utils.config_types import type_name

        wrapper = type_name(cfg.optim_wrapper, default='OptimWrapper')
        if wrapper not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise SystemExit(f'--amp replaces OptimWrapper, but the config has {wrapper}')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume is not None:
        named = Path(args.resume)
        if named.is_file() and not is_complete(named):
            raise SystemExit(f'--resume: checkpoint {named} is cut off or damaged')
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if replaces_initial_weights(cfg):
        cfg.model.init_cfg = None
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    randomness = dict(seed=None) | dict(cfg.get('randomness') or {})
    if args.seed is not None:
        randomness['seed'] = args.seed
    if args.diff_rank_seed:
        randomness['diff_rank_seed'] = True
    if args.deterministic:
        randomness['deterministic'] = True
    cfg.randomness = randomness


def replaces_initial_weights(cfg: Config) -> bool:
    """Tell whether a checkpoint will be loaded over what ``init_cfg`` might have to download."""
    if cfg.get('load_from'):
        return True
    return bool(cfg.get('resume') and checkpoints_to_resume(cfg.work_dir))


def main() -> None:
    """Run the command line."""
    parser = build_parser()
    args = parser.parse_args()
    cfg = config_from_arguments(parser, args)
    merge_arguments(cfg, args)
    try:
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        runner.train()
        leave_processes()
    except KeyboardInterrupt:
        if is_main_process():
            print(f'interrupted; {how_to_resume(cfg.work_dir)}', file=sys.stderr)
        sys.exit(INTERRUPTED)
    except NoCheckpointError as error:
        sys.exit(f'error: {error}')
    except NotFiniteError as error:
        sys.exit(f'error: {error}; {how_to_resume(cfg.work_dir)}')
    except Exception as error:
        if is_expected(error):
            sys.exit(f'error: {error}')
        raise


def how_to_resume(work_dir: str) -> str:
    """Tell what --resume would do now."""
    try:
        newest, _ = newest_complete(work_dir)
    except NoCheckpointError as error:
        return str(error)
    if newest is None:
        return f'{work_dir} has no checkpoint yet'
    return f'the same command with --resume goes on from {newest}'


if __name__ == '__main__':
    main()
