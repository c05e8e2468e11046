"""What the command lines of training and testing share, after MMAction2's."""

import argparse
import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as torch_dist
from mmengine.config import Config, DictAction

from ..utils.text import one_line
from .config_errors import suspicious_keys
from .config_options import merge_options

__all__ = [
    'config_from_arguments',
    'end_process',
    'leave_processes',
    'own_rank',
    'say',
]

# what each launcher tells a process, under torch's names
LAUNCHERS = dict(
    slurm=dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID'),
    mpi=dict(
        RANK='OMPI_COMM_WORLD_RANK',
        WORLD_SIZE='OMPI_COMM_WORLD_SIZE',
        LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK',
    ),
)
STARTERS = dict(
    pytorch='torchrun sets: bash tools/dist_train.sh CONFIG GPUS',
    slurm='srun sets',
    mpi="Open MPI's mpirun sets",
)


def config_from_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Config:
    """Read the config and merge what the command line says.

    On a machine without accelerator, processes started by torchrun or srun are joined over gloo
    here, because MMEngine's own launcher needs CUDA.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        cfg = Config.fromfile(args.config)
    except Exception as error:  # a config is code: it may raise anything
        parser.error(f'config {args.config} cannot be read: {one_line(error)}')
    if args.cfg_options is not None:
        try:
            cfg = merge_options(cfg, _typed(args.cfg_options))
        except ValueError as error:
            parser.error(f'--cfg-options: {error}')
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / args.config.stem)
    for warning in suspicious_keys(cfg):
        say(f'warning: config {args.config}: {warning}')
    if args.launcher != 'none':
        _take_launcher_settings(parser, args.launcher)
        if not torch.cuda.is_available():
            _join_cpu_processes(cfg)
    return cfg


def _typed(options: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE arguments as MMEngine does."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(['--cfg-options', *options]).cfg_options


def say(line: str) -> None:
    """Print a line on stderr, once for all processes of a run."""
    if own_rank() == 0:
        print(line, file=sys.stderr, flush=True)


def own_rank() -> int:
    """Number of this process in its run, which the launcher tells before any is joined."""
    return torch_dist.get_rank() if torch_dist.is_initialized() else int(os.environ.get('RANK', 0))


def leave_processes() -> None:
    """Let the processes of a run end together: over gloo one may abort when its peer is gone."""
    if torch_dist.is_initialized():
        torch_dist.barrier()
        torch_dist.destroy_process_group()


def end_process(code: int) -> NoReturn:
    """Exit; as one of the processes of a run, before Python takes its own parts down.

    A group's threads live on while anything refers to it, its destruction notwithstanding, and
    over gloo one that frees a tensor while the interpreter ends aborts the process
    (pytorch/pytorch#190489).
    """
    if 'WORLD_SIZE' not in os.environ:
        sys.exit(code)
    # what Python does first, and then nothing more, as multiprocessing ends its children
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _take_launcher_settings(parser: argparse.ArgumentParser, launcher: str) -> None:
    """Check what the launcher tells each process, and translate it into what torch reads."""
    names = LAUNCHERS.get(launcher, {})
    needed = list(names.values()) or ['RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT']
    missing = [name for name in needed if name not in os.environ]
    if missing:
        parser.error(
            f'--launcher {launcher} needs {", ".join(missing)}, which {STARTERS[launcher]}'
        )
    for name, told in names.items():
        os.environ[name] = os.environ[told]
    os.environ.setdefault('MASTER_PORT', '29500')  # as MMEngine does
    if 'MASTER_ADDR' in os.environ:
        return
    if launcher == 'mpi':
        parser.error('--launcher mpi needs MASTER_ADDR, the address of the machine of process 0')
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
