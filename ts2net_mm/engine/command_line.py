"""What the command lines of training and testing share, after MMAction2's."""

import argparse
import os
import subprocess
import traceback
from pathlib import Path

import torch
import torch.distributed as torch_dist
from mmengine.config import Config, DictAction

from ..checkpoints.reading import one_line
from ..datasets import BadVideosError, UnreadableVideoError
from ..video import DecoderStartError
from .config_options import merge_options

__all__ = [
    'INTERRUPTED',
    'add_config_arguments',
    'config_from_arguments',
    'is_expected',
    'leave_processes',
]

INTERRUPTED = 130  # exit code, as a shell reports SIGINT
EXPECTED = (OSError, BadVideosError, DecoderStartError, UnreadableVideoError)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that MMAction2's tools have in common."""
    parser.add_argument('config', type=Path, help='config file')
    parser.add_argument(
        '--work-dir', help='folder for logs, checkpoints and results (default: work_dirs/<config>)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings that replace those of the config, e.g. model.neck.topk=5 '
        'train_cfg.max_epochs=1; a list is written key="[a,b]" or key=a,b',
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='how the processes of a distributed run were started (default: none); without a GPU '
        'only pytorch and slurm',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def is_expected(error: Exception) -> bool:
    """Tell whether an error's message says all that a user needs, so that no traceback is due.

    Besides what files and videos give rise to, these are the checks of this package.
    """
    if isinstance(error, EXPECTED):
        return True
    innermost = traceback.walk_tb(error.__traceback__)
    names = [frame.f_globals.get('__name__', '') for frame, _ in innermost]
    return isinstance(error, ValueError) and names[-1].startswith('ts2net_mm.')


def config_from_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Config:
    """Read the config and merge what the command line says; a missing file ends with the usage.

    On a machine without accelerator, processes started by torchrun or srun are joined over gloo
    here, because MMEngine's own launcher needs CUDA.
    """
    if not args.config.is_file():
        parser.error(f'config {args.config} does not exist')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        cfg = Config.fromfile(args.config)
    except Exception as error:  # a config is code: it may raise anything
        parser.error(f'config {args.config} cannot be read: {one_line(error)}')
    if args.cfg_options is not None:
        try:
            cfg = merge_options(cfg, args.cfg_options)
        except ValueError as error:
            parser.error(f'--cfg-options: {error}')
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / args.config.stem)
    if args.launcher in ('pytorch', 'slurm') and not torch.cuda.is_available():
        if args.launcher == 'slurm':
            _take_slurm_settings(parser)
        _join_cpu_processes(cfg)
    return cfg


def leave_processes() -> None:
    """Let the processes of a run end together: over gloo one may abort when its peer is gone."""
    if torch_dist.is_initialized():
        torch_dist.barrier()
        torch_dist.destroy_process_group()


def _take_slurm_settings(parser: argparse.ArgumentParser) -> None:
    """Translate what srun tells each process into what torch reads."""
    names = dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID')
    for name, slurm_name in names.items():
        if slurm_name not in os.environ:
            parser.error(f'--launcher slurm needs {slurm_name}, which srun sets')
        os.environ[name] = os.environ[slurm_name]
    os.environ.setdefault('MASTER_PORT', '29500')  # as MMEngine does
    if 'MASTER_ADDR' not in os.environ:
        command = ['scontrol', 'show', 'hostnames', os.environ.get('SLURM_NODELIST', '')]
        try:
            hosts = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            os.environ['MASTER_ADDR'] = hosts.split()[0]
        except (OSError, IndexError, subprocess.CalledProcessError) as error:
            parser.error(f'{" ".join(command)} names no machine ({error}); set MASTER_ADDR')


def _join_cpu_processes(cfg: Config) -> None:
    if not torch_dist.is_initialized():
        torch_dist.init_process_group('gloo')
    cfg.setdefault('model_wrapper_cfg', dict(type='MMDistributedDataParallel', device_ids=None))
