"""What a run resumes from: the checkpoint, the random states, and settings that have changed."""

import random
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import Runner
from torch import Tensor

__all__ = [
    'NoCheckpointError',
    'check_optimizer',
    'checkpoints_to_resume',
    'describe_kept_settings',
    'is_complete',
    'newest_complete',
    'optimizer_state',
    'random_states',
    'restore_random_states',
    'seeded',
]

STEP = re.compile(r'(?:epoch|iter)_(\d+)\.pth')
MAX_NAMES = 5
# keys of a parameter group or a schedule that change during a run, or that are no setting
STATE_KEYS = frozenset(
    [
        '_global_step',
        '_last_value',
        'base_values',
        'last_step',
        'lr',
        'param_name',
        'param_names',
        'params',
        'verbose',
    ]
)
ADVICE = 'resume with the same, or load only the weights by --cfg-options load_from=FILE'


class NoCheckpointError(ValueError):
    """All checkpoints of a work folder are damaged."""


def is_complete(path: Path) -> bool:
    """Tell whether a file is a complete torch checkpoint with correct checksums."""
    # torch writes a zip archive, with a checksum for each tensor
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, EOFError):
        return False


def checkpoints_to_resume(work_dir: str | Path) -> list[Path]:
    """List the checkpoints of a work folder in the order in which a resume tries them.

    Checkpoints that are newer than the one in ``last_checkpoint`` come first (an interruption may
    leave some), then that one, then the older ones. In a work folder that was moved or copied, its
    own file is preferred to the file of the same name in the original folder.
    """
    folder = Path(work_dir)
    steps = {
        path: int(match.group(1))
        for path in folder.glob('*.pth')
        if (match := STEP.fullmatch(path.name))
    }
    ordered = sorted(steps, key=lambda path: (steps[path], path.name), reverse=True)
    record = folder / 'last_checkpoint'
    noted = Path(record.read_text().strip()) if record.is_file() else None
    if noted is None or not noted.name:
        return sorted(ordered, key=lambda path: path.stat().st_mtime, reverse=True)
    own = folder / noted.name
    last = noted if noted.exists() and not own.exists() else own
    match = STEP.fullmatch(last.name)
    step = int(match.group(1)) if match else -1
    # an earlier run in the same folder may have left higher steps, but not newer files
    since = last.stat().st_mtime if last.exists() else 0.0
    newer = [path for path in ordered if steps[path] > step and path.stat().st_mtime > since]
    older = [path for path in ordered if steps[path] < step and path != last]
    return [*newer, *([last] if last.exists() else []), *older]


def newest_complete(work_dir: str | Path) -> tuple[Path | None, list[Path]]:
    """Choose the checkpoint to resume from.

    Returns:
        The checkpoint (None if there is none at all), and the newer ones, which are damaged.

    Raises:
        NoCheckpointError: If all are damaged.
    """
    damaged: list[Path] = []
    for path in checkpoints_to_resume(work_dir):
        if is_complete(path):
            return path, damaged
        damaged.append(path)
    if damaged:
        names = ', '.join(path.name for path in damaged)
        raise NoCheckpointError(f'all checkpoints of {work_dir} are damaged: {names}')
    return None, []


def random_states() -> dict[str, Tensor]:
    """Read the states of Python's, numpy's and torch's generators, and of the CUDA device.

    Returns:
        Tensors only, so that ``torch.load(weights_only=True)`` can read them.
    """
    version, internal, gauss = random.getstate()
    # numpy's global generator is always this one, whose state is a tuple of five
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # type: ignore[misc]
    states = dict(
        python=torch.tensor([version, *internal], dtype=torch.int64),
        python_gauss=torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
        numpy=torch.from_numpy(np.append(keys, [position, has_gauss]).astype(np.int64)),
        numpy_gauss=torch.tensor([cached], dtype=torch.float64),
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states['cuda'] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: Mapping[str, Tensor]) -> None:
    """Set the states that `random_states` returned."""
    version, *internal = states['python'].tolist()
    gauss = states['python_gauss'].tolist()
    random.setstate((version, tuple(internal), gauss[0] if gauss else None))
    *keys, position, has_gauss = states['numpy'].tolist()
    np.random.set_state(
        (
            'MT19937',
            np.array(keys, dtype=np.uint32),
            position,
            has_gauss,
            states['numpy_gauss'].item(),
        )
    )
    torch.set_rng_state(states['torch'].cpu())
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'].cpu())


@contextmanager
def seeded(*entropy: int) -> Iterator[None]:
    """Seed the CPU generators by some numbers; restore their states on exit."""
    words = np.random.SeedSequence(entropy).generate_state(4)
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # torch.manual_seed would reach CUDA as well
    torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def optimizer_state(runner: Runner) -> dict[str, Any]:
    """What `check_optimizer` compares: the optimiser's type and the parameters of its groups."""
    optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
    model = getattr(runner.model, 'module', runner.model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return dict(
        optimizer=None if optimizer is None else type(optimizer).__name__,
        parameters=[
            [names.get(id(parameter), '?') for parameter in group['params']]
            for group in runner.optim_wrapper.param_groups
        ],
    )


def check_optimizer(
    runner: Runner, checkpoint: Mapping[str, Any], saved: Mapping[str, Any]
) -> None:
    """Compare the optimiser and its parameters with those of a checkpoint.

    Args:
        runner: The run that resumes.
        checkpoint: What it resumes from; without an optimiser there is a warning only.
        saved: `optimizer_state` of the run that wrote it; empty in checkpoints that lack it.

    Raises:
        ValueError: If they differ; the first parameters are named.
    """
    if 'optimizer' not in checkpoint:
        runner.logger.warning(
            f'--resume: {runner._load_from} has weights but no state of optimiser and schedule, '
            'which start from the beginning; epoch_N.pth and iter_N.pth have it'
        )
        return
    now = optimizer_state(runner)
    if saved.get('optimizer') not in (None, now['optimizer']):
        raise ValueError(
            f'--resume: the optimiser was {saved["optimizer"]} and is now {now["optimizer"]}; '
            f'{ADVICE}'
        )
    groups = now['parameters']
    if 'parameters' not in saved:  # a checkpoint of another hook or an earlier version
        sizes = [len(group['params']) for group in checkpoint['optimizer']['param_groups']]
        if sizes != [len(group) for group in groups]:
            raise ValueError(
                f'--resume: the parameter groups of the optimiser had sizes {sizes} and now have '
                f'{[len(group) for group in groups]}; {ADVICE}'
            )
        return
    before, after = (
        {name for group in part for name in group} for part in (saved['parameters'], groups)
    )
    if before != after:
        changes = [
            f'{len(names)} {change} ({", ".join(sorted(names)[:MAX_NAMES])}'
            f'{", ..." if len(names) > MAX_NAMES else ""})'
            for names, change in (
                (after - before, 'parameters are trained now but were not'),
                (before - after, 'parameters were trained but are not now'),
            )
            if names
        ]
        raise ValueError(f'--resume: {", ".join(changes)}; {ADVICE}')
    if [list(group) for group in saved['parameters']] != groups:
        raise ValueError(f'--resume: the grouping of the parameters has changed; {ADVICE}')


def describe_kept_settings(runner: Runner, checkpoint: Mapping[str, Any]) -> list[str]:
    """List the settings of optimiser and schedules that the checkpoint will override.

    Call this before the checkpoint is loaded.
    """
    changes: list[str] = []
    if 'optimizer' in checkpoint:
        groups = checkpoint['optimizer']['param_groups']
        for old, new in zip(groups, runner.optim_wrapper.param_groups, strict=False):
            changes += _compare('optimizer', old, new)
    schedules = _flatten(runner.param_schedulers)
    saved = _flatten(checkpoint.get('param_schedulers'))
    if saved and len(saved) != len(schedules):
        changes.append(f'{len(saved)} schedules in the checkpoint, {len(schedules)} in the config')
    for old, schedule in zip(saved, schedules, strict=False):
        from_config = getattr(schedule, 'resumes_with', ())
        old = {key: value for key, value in old.items() if key not in from_config}
        changes += _compare(type(schedule).__name__, old, schedule.state_dict())
    return list(dict.fromkeys(changes))  # each once, in this order


def _compare(owner: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
    for key, value in old.items():
        if key in STATE_KEYS or key not in new or not isinstance(value, int | float | str | tuple):
            continue
        now = tuple(new[key]) if isinstance(value, tuple) else new[key]
        if now != value:
            yield f'{owner} {"lr" if key == "initial_lr" else key}={value}, not {now}'


def _flatten(schedules: Sequence[Any] | Mapping[str, Sequence[Any]] | None) -> list[Any]:
    """Schedules of one optimiser or of several."""
    if isinstance(schedules, Mapping):
        return [schedule for group in schedules.values() for schedule in group]
    return list(schedules or [])
