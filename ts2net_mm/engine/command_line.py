"""The command lines of training and testing: arguments, config and processes, as in MMAction2."""

import argparse
import ast
import atexit
import difflib
import inspect
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as torch_dist
from mmengine.config import Config, DictAction
from mmengine.runner import FlexibleRunner, Runner

from ..utils.text import one_line
from .config_errors import suspicious_keys

__all__ = [
    'config_from_arguments',
    'end_process',
    'leave_processes',
    'merge_options',
    'own_rank',
    'print_once',
]

# where each launcher puts the values that torch reads
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
# arguments of a runner, and keys that it or a tool looks up in the config itself
RUN_SETTINGS = {
    *inspect.signature(Runner.__init__).parameters,
    *inspect.signature(FlexibleRunner.__init__).parameters,
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'init_weights_for_test_or_val',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
}
MAX_PLACES = 3
NOT_SET = object()  # a setting that the config file does not set
# statements that are inserted after an assignment to a variable or to a part of it
NAME = '{target} = {value}'
# A deep copy, because another name may refer to the same object. A base config may have a value of
# another type under the name.
NESTED = """
{top} = __import__('copy').deepcopy({top})
try:
    {target} = {value}
except (LookupError, TypeError):
    pass
"""


def config_from_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Config:
    """Read the config file and merge the command line into it.

    On a machine without an accelerator, processes started by torchrun or srun are joined over gloo
    here, because MMEngine's own launcher needs CUDA.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))  # MMEngine's launcher reads it
    try:
        cfg = Config.fromfile(args.config)
    except Exception as error:  # a config is code: it may raise anything
        parser.error(f'config {args.config} cannot be read: {one_line(error)}')
    if args.cfg_options is not None:
        options = argparse.ArgumentParser()  # parses KEY=VALUE as MMEngine does
        options.add_argument('values', nargs='+', action=DictAction)
        try:
            cfg = merge_options(cfg, options.parse_args(args.cfg_options).values)
        except ValueError as error:
            parser.error(f'--cfg-options: {error}')
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / args.config.stem)
    for warning in suspicious_keys(cfg):
        print_once(f'warning: config {args.config}: {warning}')
    if args.launcher != 'none':
        _set_launcher_variables(parser, args.launcher)
        if not torch.cuda.is_available():
            if not torch_dist.is_initialized():
                torch_dist.init_process_group('gloo')
            wrapper = dict(type='MMDistributedDataParallel', device_ids=None)
            cfg.setdefault('model_wrapper_cfg', wrapper)
    return cfg


def merge_options(cfg: Config, options: Mapping[str, Any]) -> Config:
    """Merge settings into a config, and into everything that the config file derives from them.

    MMEngine merges into the finished config. There, variables of a file such as ``num_frames`` or
    ``video_pipeline`` have been copied to where they are used, and a new value has no effect.
    Therefore the file is read again for such a variable, with an assignment of the new value after
    each assignment to it, in the file and in its base files.

    Args:
        cfg: The config as read from its file.
        options: New values by their path, such as ``model.neck.topk`` or ``num_frames``.

    Raises:
        ValueError: If a path does not exist, the file cannot be run with the value, or the value
            has no effect. The message names the settings that are used instead.
    """
    rest = dict(options)
    assigned: dict[str, Any] = {}
    for top in dict.fromkeys(key.partition('.')[0] for key in options):
        if top in RUN_SETTINGS:
            continue
        if top not in cfg:
            if similar := difflib.get_close_matches(top, {*cfg, *RUN_SETTINGS}, n=1):
                raise ValueError(f'{cfg.filename} has no {top!r}, did you mean {similar[0]!r}?')
            continue  # a new key, which the user's own code may look up
        own = {key: rest.pop(key) for key in options if key.partition('.')[0] == top}
        own = {key: value for key, value in own.items() if _look_up(cfg, key)[1] != value}
        if not own:
            continue
        assigned |= own
        changed = _read_with(cfg, assigned)
        if not any(changed.get(key) != value for key, value in cfg.items() if key != top):
            key = next(iter(own))
            raise ValueError(f'{key} has no effect in {cfg.filename}{_advice(cfg, key)}')
        cfg = changed
    cfg.merge_from_dict(rest)
    return cfg


def _read_with(cfg: Config, assigned: Mapping[str, Any]) -> Config:
    """Read the config file again with other values assigned."""
    statements: dict[str, list[ast.stmt]] = {}
    for key, value in assigned.items():
        top, target = key.partition('.')[0], _look_up(cfg, key)[0]
        code = NAME if target == top else NESTED
        lines = ast.parse(code.format(top=top, target=target, value=repr(value))).body
        statements.setdefault(top, []).extend(lines)
    try:
        with _assigning(statements):
            return Config.fromfile(str(cfg.filename), import_custom_modules=False)
    except Exception as error:  # a config is code: it may raise anything
        given = ', '.join(f'{key}={value!r}' for key, value in assigned.items())
        raise ValueError(
            f'{cfg.filename} cannot be read with {given}: {one_line(error)}'
        ) from error


def _look_up(cfg: Config, key: str) -> tuple[str, Any]:
    """Return a dotted path as Python code with subscripts, and the config's value there."""
    top, *path = key.split('.')
    found, target = cfg[top], top
    for number, name in enumerate(path):
        is_list = isinstance(found, Sequence) and not isinstance(found, str)
        subscript: Any = int(name) if is_list and name.isdigit() else name
        target += f'[{subscript!r}]'
        try:
            found = found[subscript]
        except (IndexError, KeyError, TypeError) as error:
            if isinstance(found, Mapping) and number == len(path) - 1:
                return target, NOT_SET
            raise ValueError(f'{cfg.filename} has no {key!r}') from error
    return target, found


@contextmanager
def _assigning(statements: Mapping[str, list[ast.stmt]]) -> Iterator[None]:
    """Insert assignments into configs that MMEngine reads; it parses them before it runs them."""
    parse = ast.parse

    def parse_and_assign(*args: Any, **kwargs: Any) -> Any:
        return ast.fix_missing_locations(_Assigner(statements).visit(parse(*args, **kwargs)))

    ast.parse = parse_and_assign
    try:
        yield
    finally:
        ast.parse = parse


class _Assigner(ast.NodeTransformer):
    """Insert statements behind each assignment to a name."""

    def __init__(self, statements: Mapping[str, list[ast.stmt]]) -> None:
        self.statements = statements

    def visit_Assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> list[ast.stmt]:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        assigned = {
            name.id
            for target in targets
            for name in ast.walk(target)
            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
        }
        return [node, *(line for name in assigned for line in self.statements.get(name, ()))]

    visit_AnnAssign = visit_AugAssign = visit_Assign

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node  # local variables of a function


def _advice(cfg: Config, key: str) -> str:
    """Name the settings of the run whose last key is that of a path."""
    last = key.rpartition('.')[2]
    places = [
        place
        for top, value in cfg.items()
        if top in RUN_SETTINGS
        for place in _places(value, top, last)
    ]
    if not places:
        return ', because nothing uses it'
    more = ', ...' if len(places) > MAX_PLACES else ''
    return f'; did you mean {", ".join(places[:MAX_PLACES])}{more}?'


def _places(value: Any, path: str, last: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        pairs = [(str(name), inner) for name, inner in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [(str(number), inner) for number, inner in enumerate(value)]
    else:
        return
    for name, inner in pairs:
        if name == last:
            yield f'{path}.{name}'
        yield from _places(inner, f'{path}.{name}', last)


def _set_launcher_variables(parser: argparse.ArgumentParser, launcher: str) -> None:
    """Check the variables of the launcher, and set those that torch reads."""
    names = LAUNCHERS.get(launcher, {})
    needed = list(names.values()) or ['RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT']
    missing = [name for name in needed if name not in os.environ]
    if missing:
        parser.error(
            f'--launcher {launcher} needs {", ".join(missing)}, which {STARTERS[launcher]}'
        )
    for name, source in names.items():
        os.environ[name] = os.environ[source]
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
        parser.error(f'{" ".join(command)} did not name a machine ({error}); set MASTER_ADDR')


def print_once(line: str) -> None:
    """Print a line on stderr, in process 0 only."""
    if own_rank() == 0:
        print(line, file=sys.stderr, flush=True)


def own_rank() -> int:
    """Rank of this process, also before the processes are joined."""
    return torch_dist.get_rank() if torch_dist.is_initialized() else int(os.environ.get('RANK', 0))


def leave_processes() -> None:
    """End the processes of a run together; over gloo a process may abort if its peer has gone."""
    if torch_dist.is_initialized():
        torch_dist.barrier()
        torch_dist.destroy_process_group()


def end_process(code: int) -> NoReturn:
    """Exit; in a run of several processes, before the interpreter is torn down.

    The threads of a process group survive its destruction while anything refers to it. Over gloo, a
    thread that frees a tensor while the interpreter exits aborts the process
    (pytorch/pytorch#190489).
    """
    if 'WORLD_SIZE' not in os.environ:
        sys.exit(code)
    # the first steps of the exit of Python, as multiprocessing does in its children
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
