"""What a resumed run takes from its checkpoint although the config says something else."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmengine.runner import Runner
from torch import nn

__all__ = ['check_optimizer', 'describe_kept_settings', 'optimizer_state']

LISTED = 5
# of a parameter group or a schedule: what changes during a run, and what is no setting
_STATE = frozenset(
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
_NAMES = {'initial_lr': 'lr'}


def optimizer_state(runner: Runner) -> dict[str, Any]:
    """What `check_optimizer` compares: the optimiser's type, and the parameters of its groups."""
    return dict(optimizer=_type_of_optimizer(runner), parameters=_trained_parameters(runner))


def check_optimizer(
    runner: Runner, checkpoint: Mapping[str, Any], saved: Mapping[str, Any]
) -> None:
    """Compare the optimiser and its parameters with those of a checkpoint.

    Args:
        runner: The run that resumes.
        checkpoint: What it resumes from. One without an optimiser gives rise to a warning.
        saved: `optimizer_state` of the run that wrote it, empty if it did not note them.

    Raises:
        ValueError: If they are others; the first parameters are named.
    """
    if 'optimizer' not in checkpoint:
        runner.logger.warning(
            f'--resume: {runner._load_from} holds weights without the state of optimiser and '
            'schedule, which start anew; epoch_N.pth and iter_N.pth hold it'
        )
        return
    before, now = saved.get('optimizer'), _type_of_optimizer(runner)
    if before not in (None, now):
        raise ValueError(f'--resume: the optimiser was {before} and is now {now}; {_ADVICE}')
    _check_parameters(runner, checkpoint, saved.get('parameters'))


def _type_of_optimizer(runner: Runner) -> str | None:
    optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
    return None if optimizer is None else type(optimizer).__name__


def _trained_parameters(runner: Runner) -> list[list[str]]:
    """Names of the parameters in each group of the optimiser."""
    names = {id(parameter): name for name, parameter in _module(runner).named_parameters()}
    groups = runner.optim_wrapper.param_groups
    return [[names.get(id(one), '?') for one in group['params']] for group in groups]


def _check_parameters(
    runner: Runner, checkpoint: Mapping[str, Any], names: Sequence[Sequence[str]] | None
) -> None:
    now = _trained_parameters(runner)
    sizes = [len(group['params']) for group in checkpoint['optimizer']['param_groups']]
    if names is None:
        if sizes != [len(group) for group in now]:
            raise ValueError(
                f'--resume: the optimiser of the checkpoint has groups of {sizes} parameters, now '
                f'they are {[len(group) for group in now]}; {_ADVICE}'
            )
        return
    before, after = ({name for group in groups for name in group} for groups in (names, now))
    if before != after:
        changes = [
            f'{len(keys)} {what} ({_first(sorted(keys))})'
            for keys, what in (
                (after - before, 'are trained now that were not'),
                (before - after, 'were trained and are not now'),
            )
            if keys
        ]
        raise ValueError(f'--resume: of the parameters {", ".join(changes)}; {_ADVICE}')
    if [list(group) for group in names] != now:
        raise ValueError(f'--resume: the parameters are grouped in another way; {_ADVICE}')


_ADVICE = 'a resume needs the same ones, --cfg-options load_from=FILE takes the weights alone'


def describe_kept_settings(runner: Runner, checkpoint: Mapping[str, Any]) -> list[str]:
    """List the settings of optimiser and schedules that the checkpoint's replace.

    To be called before they are loaded.
    """
    changes: dict[str, None] = {}  # an ordered set
    if 'optimizer' in checkpoint:
        for old, new in zip(
            checkpoint['optimizer']['param_groups'], runner.optim_wrapper.param_groups, strict=False
        ):
            changes |= dict.fromkeys(_compare('optimizer', old, new))
    schedules = [
        (scheduler.state_dict(), scheduler) for scheduler in _flat(runner.param_schedulers)
    ]
    saved = list(_flat(checkpoint.get('param_schedulers')))
    if saved and len(saved) != len(schedules):
        changes[f'{len(saved)} schedules in the checkpoint, {len(schedules)} in the config'] = None
    for old, (new, scheduler) in zip(saved, schedules, strict=False):
        honoured = getattr(scheduler, 'resumes_with', ())
        old = {key: value for key, value in old.items() if key not in honoured}
        changes |= dict.fromkeys(_compare(type(scheduler).__name__, old, new))
    return list(changes)


def _compare(owner: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
    for key, value in old.items():
        if key in _STATE or key not in new or not isinstance(value, int | float | str | tuple):
            continue
        now = tuple(new[key]) if isinstance(value, tuple) else new[key]
        if now != value:
            yield f'{owner} {_NAMES.get(key, key)}={value}, not {now}'


def _flat(schedulers: Any) -> Iterable[Any]:
    """Schedules of one optimiser or of several."""
    if isinstance(schedulers, Mapping):
        return [one for group in schedulers.values() for one in group]
    return schedulers or []


def _module(runner: Runner) -> nn.Module:
    return getattr(runner.model, 'module', runner.model)


def _first(names: Sequence[str]) -> str:
    more = ', ...' if len(names) > LISTED else ''
    return ', '.join(names[:LISTED]) + more
