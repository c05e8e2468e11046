"""A plan: the configs to compare, with which seeds, and by which metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from ..engine.command_line import merge_options
from ..utils.text import digest_of

__all__ = ['Plan', 'Run', 'Variant', 'read_plan', 'runs_of']

CHECKPOINTS = ('last', 'best')
NAME = re.compile(r'[\w.+-]+')  # also the name of a folder


@dataclass(frozen=True)
class Variant:
    """A config that is compared.

    Args:
        name: Its name in tables and folders.
        config: The config file.
        options: Settings that replace those of the config, as ``--cfg-options``.
        weights_of: Name of the variant whose weights it tests; None to train its own.
    """

    name: str
    config: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    weights_of: str | None = None


@dataclass(frozen=True)
class Plan:
    """What `read_plan` returns.

    Args:
        path: The file.
        title: Title of the table.
        variants: The configs; the first is the base that the others are compared with.
        seeds: Seeds of each variant.
        metrics: Metrics of the table, of validation and test; the first also for the figures.
        logged: Names in the training log whose last value is in the table, too.
        checkpoint: 'last', or 'best' on validation, which is then tested.
        hours: Expected hours of a run, until some have ended; None if unknown.
    """

    path: Path
    title: str
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    logged: tuple[str, ...]
    checkpoint: str
    hours: float | None


@dataclass(frozen=True)
class Run:
    """A variant with a seed.

    Args:
        variant: Name of the variant.
        seed: The seed.
        cfg: The config, with all options merged.
        checkpoint: Which checkpoint is tested.
        digest: Condenses config, seed and checkpoint; runs with the same digest are the same.
        folder: Where everything of this run is written.
        source: The run whose weights it tests; None to train its own.
    """

    variant: str
    seed: int
    cfg: Config = field(repr=False, compare=False)
    checkpoint: str
    digest: str
    folder: Path
    source: Run | None = None

    def __str__(self) -> str:
        return f'{self.variant}, seed {self.seed}'

    @property
    def config(self) -> Path:
        """The file of the merged config."""
        return self.folder.with_name(f'{self.folder.name}.py')


def read_plan(path: str | Path) -> Plan:
    """Read a plan; the paths of configs are relative to its folder.

    Raises:
        ValueError: If the content is not as expected. The message names the file and the key.
        OSError: If the file cannot be read.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f'{path}: not YAML: {" ".join(str(error).split())}') from error
    keys = dict(
        title=str,
        config=str,
        options=dict,
        variants=list,
        seeds=list,
        metrics=list,
        logged=list,
        checkpoint=str,
        hours=(int, float),
    )
    found = _checked(content, keys, str(path), required=('variants',))
    plan = Plan(
        path=path,
        title=found.get('title', path.stem),
        variants=tuple(_read_variants(path, found)),
        seeds=tuple(found.get('seeds', (0, 1, 2))),
        metrics=tuple(found.get('metrics', ('t2v/R1',))),
        logged=tuple(found.get('logged', ())),
        checkpoint=found.get('checkpoint', 'last'),
        hours=found.get('hours'),
    )
    _check(plan)
    return plan


def runs_of(plan: Plan, work_dir: str | Path) -> list[Run]:
    """List the runs of a plan, those of a seed together, and trained ones before tests of them.

    Raises:
        ValueError: If a config cannot be read, or an option does not fit it.
    """
    configs = {variant.name: _config_of(plan, variant) for variant in plan.variants}
    runs: dict[tuple[str, int], Run] = {}
    for seed in plan.seeds:
        for variant in sorted(plan.variants, key=lambda variant: variant.weights_of is not None):
            cfg = configs[variant.name]
            source = runs.get((variant.weights_of or '', seed))
            digest = digest_of([cfg.to_dict(), seed, plan.checkpoint, source and source.digest])
            folder = Path(work_dir) / f'{variant.name}_seed{seed}_{digest[:8]}'
            runs[variant.name, seed] = Run(
                variant.name, seed, cfg, plan.checkpoint, digest, folder, source
            )
    return list(runs.values())


def _read_variants(path: Path, found: Mapping[str, Any]) -> list[Variant]:
    keys = dict(name=str, config=str, options=dict, weights_of=str)
    variants = []
    for number, entry in enumerate(found['variants'], start=1):
        where = f'{path}: variant {number}'
        own = _checked(entry, keys, where, required=('name',))
        if not NAME.fullmatch(own['name']):
            raise ValueError(
                f'{where}: name {own["name"]!r} may have letters, digits and _ . + - only'
            )
        config = own.get('config', found.get('config'))
        if config is None:
            raise ValueError(f'{where} ({own["name"]}) has no config, nor has the plan')
        options = {**found.get('options', {}), **own.get('options', {})}
        variants.append(Variant(own['name'], path.parent / config, options, own.get('weights_of')))
    return variants


def _checked(
    content: Any, keys: Mapping[str, Any], where: str, required: tuple[str, ...]
) -> dict[str, Any]:
    """Check the keys of a mapping and the types of their values."""
    if not isinstance(content, dict):
        raise ValueError(f'{where}: expected keys and values, found {type(content).__name__}')
    if unknown := [str(key) for key in content if key not in keys]:
        raise ValueError(f'{where}: unknown key {unknown[0]!r}, expected {", ".join(keys)}')
    if missing := [key for key in required if not content.get(key)]:
        raise ValueError(f'{where}: {missing[0]!r} is missing')
    for key, value in content.items():
        if not isinstance(value, keys[key]) or isinstance(value, bool):
            kinds = keys[key] if isinstance(keys[key], tuple) else (keys[key],)
            expected = ' or '.join(kind.__name__ for kind in kinds)
            raise ValueError(f'{where}: {key} is {value!r}, expected {expected}')
    return content


def _check(plan: Plan) -> None:
    names = [variant.name for variant in plan.variants]
    for key, values in (('seeds', plan.seeds), ('metrics', plan.metrics), ('variants', names)):
        if not values or len(set(values)) < len(values):
            raise ValueError(f'{plan.path}: {key} are {list(values)}, expected different ones')
    if any(type(seed) is not int or seed < 0 for seed in plan.seeds):
        raise ValueError(f'{plan.path}: seeds are {list(plan.seeds)}, expected whole numbers')
    if plan.checkpoint not in CHECKPOINTS:
        raise ValueError(
            f'{plan.path}: checkpoint is {plan.checkpoint!r}, expected one of {CHECKPOINTS}'
        )
    trained = [variant.name for variant in plan.variants if variant.weights_of is None]
    for variant in plan.variants:
        if variant.weights_of is not None and variant.weights_of not in trained:
            raise ValueError(
                f'{plan.path}: variant {variant.name} has the weights of {variant.weights_of!r}, '
                f'expected one of {", ".join(trained)}'
            )


def _config_of(plan: Plan, variant: Variant) -> Config:
    where = f'{plan.path}: variant {variant.name}'
    if not variant.config.is_file():
        raise ValueError(f'{where}: config {variant.config} does not exist')
    try:
        cfg = merge_options(Config.fromfile(variant.config), variant.options)
    except Exception as error:  # a config is code: it may raise anything
        raise ValueError(f'{where}: {error}') from error
    cfg.pop('work_dir', None)
    # curves are drawn against iterations
    cfg.merge_from_dict({'default_hooks.logger.log_metric_by_epoch': False})
    cfg.default_hooks.logger.setdefault('type', 'LoggerHook')
    if plan.checkpoint == 'best' and not cfg.default_hooks.get('checkpoint', {}).get('save_best'):
        raise ValueError(
            f'{where}: checkpoint is best, but its default_hooks.checkpoint has no save_best'
        )
    return cfg
