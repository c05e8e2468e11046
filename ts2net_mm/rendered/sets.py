"""All rendered data sets, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import moving_shapes, moving_textures, small_objects
from .planning import RenderedSet

__all__ = ['rendered_set']

# what describes a set, and the class of its difficulty
_SETS: dict[str, tuple[Callable[..., RenderedSet], Callable[..., Any] | None]] = {
    'moving_shapes': (lambda: moving_shapes.MOVING_SHAPES, None),
    'moving_textures': (moving_textures.moving_textures, moving_textures.Difficulty),
    'small_objects': (small_objects.small_objects, small_objects.Difficulty),
}


def rendered_set(name: str, **difficulty: Any) -> RenderedSet:
    """Describe a rendered data set.

    Args:
        name: Its name, such as ``'moving_textures'``.
        **difficulty: Fields of its ``Difficulty``.

    Raises:
        ValueError: If there is no such set, or it has no such setting or not of this value.
    """
    if name not in _SETS:
        raise ValueError(f'rendered set {name!r} is unknown, choose one of {sorted(_SETS)}')
    describe, settings = _SETS[name]
    if not difficulty:
        return describe()
    if settings is None:
        raise ValueError(f'rendered set {name} has no settings, found {sorted(difficulty)}')
    try:
        return describe(settings(**difficulty))
    except TypeError as error:
        raise ValueError(f'rendered set {name}: {error}') from error
