"""What the command lines of training and testing share, after MMAction2's."""

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as torch_dist
from mmengine.config import Config, DictAction

__all__ = ['add_config_arguments', 'config_from_arguments']


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
        'only pytorch',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def config_from_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Config:
    """Read the config and merge what the command line says; a missing file ends with the usage.

    On a machine without accelerator, processes started by torchrun are joined over gloo here,
    because MMEngine's own launcher needs CUDA.
    """
    if not args.config.is_file():
        parser.error(f'config {args.config} does not exist')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / args.config.stem)
    if args.launcher == 'pytorch' and not torch.cuda.is_available():
        _join_cpu_processes(cfg)
    return cfg


def _join_cpu_processes(cfg: Config) -> None:
    if not torch_dist.is_initialized():
        torch_dist.init_process_group('gloo')
    cfg.setdefault('model_wrapper_cfg', dict(type='MMDistributedDataParallel', device_ids=None))
