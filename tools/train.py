"""Train a model; takes the arguments of MMAction2's tools/train.py."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    from ts2net_mm.utils.cli import add_config_arguments

    parser = argparse.ArgumentParser(description='Train a text-video retrieval model.')
    add_config_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from a checkpoint, by default the newest in the work folder',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (on a GPU)')
    parser.add_argument('--no-validate', action='store_true', help='train without validation')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size over auto_scale_lr.base_batch_size',
    )
    parser.add_argument('--seed', type=int, help='random seed')
    parser.add_argument(
        '--diff-rank-seed', action='store_true', help='a different seed for each process'
    )
    parser.add_argument(
        '--deterministic', action='store_true', help='deterministic algorithms where torch has them'
    )
    return parser


def merge_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Merge the training arguments into the config.

    Raises:
        WrongArgumentError: If an argument does not fit the config or this machine.
    """
    from ts2net_mm.engine.config_errors import require_settings
    from ts2net_mm.engine.resuming import checkpoints_to_resume, is_complete
    from ts2net_mm.utils.cli import WrongArgumentError

    needed = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    require_settings(cfg, *needed, purpose='training')
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        (cfg.get('default_hooks') or {}).get('checkpoint', {}).pop('save_best', None)
    if args.amp:
        use_mixed_precision(cfg)
    if args.resume is not None:
        named = Path(args.resume)
        if named.is_file() and not is_complete(named):
            raise WrongArgumentError(f'--resume: checkpoint {named} is truncated or damaged')
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if cfg.get('load_from') or (cfg.get('resume') and checkpoints_to_resume(cfg.work_dir)):
        cfg.model.init_cfg = None  # the checkpoint replaces weights that would be downloaded first
    if args.auto_scale_lr:
        if not cfg.get('auto_scale_lr'):
            raise WrongArgumentError(
                f'--auto-scale-lr: config {cfg.filename} has no auto_scale_lr; it needs '
                'auto_scale_lr = dict(base_batch_size=N), the batch size of its learning rate'
            )
        cfg.auto_scale_lr.enable = True
    given = dict(
        seed=args.seed,
        diff_rank_seed=args.diff_rank_seed or None,
        deterministic=args.deterministic or None,
    )
    given = {key: value for key, value in given.items() if value is not None}
    cfg.randomness = dict(seed=None) | dict(cfg.get('randomness') or {}) | given


def use_mixed_precision(cfg: Config) -> None:
    """Replace the optimiser wrapper by AmpOptimWrapper."""
    from ts2net_mm.utils.cli import WrongArgumentError
    from ts2net_mm.utils.config_types import type_name

    wrapper = type_name(cfg.optim_wrapper, default='OptimWrapper')
    if wrapper not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise WrongArgumentError(f'--amp replaces OptimWrapper, but the config has {wrapper}')
    if not has_accelerator():
        raise WrongArgumentError(
            "--amp needs a GPU; on a CPU, optim_wrapper.type='AutocastOptimWrapper' computes "
            'in bf16'
        )
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def has_accelerator() -> bool:
    """Tell whether AmpOptimWrapper runs on this machine."""
    from mmengine.device import get_device

    return get_device() not in ('cpu', 'mps')


def train(cfg: Config) -> None:
    """Train, from the beginning or from a checkpoint."""
    from mmaction.registry import RUNNERS
    from mmengine.runner import Runner

    from ts2net_mm.engine import TerminationHook
    from ts2net_mm.engine.command_line import leave_processes, own_rank, print_once
    from ts2net_mm.engine.work_dir import claim_work_dir, describe_earlier_run

    source = cfg.get('load_from')
    resumes_here = cfg.get('resume') and (
        not source or Path(source).resolve().parent == Path(cfg.work_dir).resolve()
    )
    with claim_work_dir(cfg.work_dir, own_rank()):
        if not resumes_here and (earlier := describe_earlier_run(cfg.work_dir)):
            print_once(f'warning: {earlier}')
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        termination = TerminationHook()
        runner.register_hook(termination)
        try:
            runner.train()
        except BaseException:
            termination.save_after_error(runner)
            if termination.agreed:
                leave_processes()
            raise
        leave_processes()


def describe_resume(work_dir: str) -> str:
    """Say which checkpoint --resume would load now."""
    from ts2net_mm.engine.resuming import NoCheckpointError, newest_complete

    try:
        newest, _ = newest_complete(work_dir)
    except NoCheckpointError as error:
        return str(error)
    if newest is None:
        return f'{work_dir} has no checkpoint yet'
    return f'the same command with --resume continues from {newest}'


def main() -> int:
    """Run the command line and return the exit code."""
    parser = build_parser()
    from ts2net_mm.utils.cli import is_missing_weights, parse_config_arguments, run

    args = parse_config_arguments(parser)
    if args.resume not in (None, 'auto') and is_missing_weights(args.resume):
        parser.error(f'--resume: checkpoint {args.resume} does not exist')
    # imported here, so that --help and wrong arguments need no torch
    from ts2net_mm.engine.command_line import config_from_arguments, own_rank
    from ts2net_mm.engine.config_errors import explain_error
    from ts2net_mm.engine.hooks import NotFiniteError

    cfg: Config | None = None

    def work() -> None:
        nonlocal cfg
        cfg = config_from_arguments(parser, args)
        merge_arguments(cfg, args)
        train(cfg)

    def explain(error: BaseException) -> str | None:
        if isinstance(error, NotFiniteError) and cfg is not None:
            return f'{error}; {describe_resume(cfg.work_dir)}'
        return explain_error(error, cfg)

    def when_stopped() -> str | None:
        if own_rank() != 0:
            return None
        return '' if cfg is None else describe_resume(cfg.work_dir)

    return run(work, explain=explain, when_stopped=when_stopped)


if __name__ == '__main__':
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback from an import
    code = main()
    from ts2net_mm.engine.command_line import end_process  # main has imported it already

    end_process(code)
