"""Does a format tell what a model computes, beyond its tensors?"""

from collections.abc import Mapping
from typing import Any

from .settings import activation_of

__all__ = ['check_expressed']

# What decides a model's features beside its tensors, with the defaults of the parts.
_SETTINGS: dict[str, dict[str, Any]] = {
    'backbone': dict(
        num_heads=None,
        act_cfg=None,
        shift_layers=(),
        num_shift_tokens=7,
        forward_offset=1,
        backward_offset=4,
    ),
    'text_encoder': dict(num_heads=None, act_cfg=None),
    'neck': dict(type='CLSOnly', topk=3, sigma=0.05),
    'head.temporal': dict(type=None, num_heads=None, act_cfg=None),
    'head.similarity': dict(type='FrameWeightedSimilarity', temperature=4.0),
}
_OF_THE_SHIFT = ('num_shift_tokens', 'forward_offset', 'backward_offset')
# what Hugging Face's config.json tells
_BESIDE = (('backbone', 'text_encoder'), ('num_heads', 'act_cfg'))


def check_expressed(config: Mapping, understood: Mapping, *, beside: bool, name: str) -> None:
    """Compare a model with what its weights will be taken for in another format.

    Args:
        config: Config of the model.
        understood: Config that is read off the shapes and names of the weights as written.
        beside: Whether a ``config.json`` of Hugging Face will stand beside the weights.
        name: What the error calls the format.

    Raises:
        ValueError: If a setting is lost; the message tells it and what it would become.
    """
    for part, defaults in _SETTINGS.items():
        ours, theirs = _part(config, part), _part(understood, part)
        for key, default in defaults.items():
            if beside and part in _BESIDE[0] and key in _BESIDE[1]:
                continue
            if key in _OF_THE_SHIFT and not ours.get('shift_layers'):
                continue
            value, other = (_plain(key, found.get(key, default)) for found in (ours, theirs))
            if value != other:
                raise ValueError(
                    f'{name} weights cannot tell {part}.{key}={value!r}, they mean {other!r}'
                )


def _part(config: Mapping, name: str) -> Mapping:
    found: Any = config
    for key in name.split('.'):
        found = (found or {}).get(key)
    return found or {}


def _plain(key: str, value: Any) -> Any:
    if key == 'act_cfg':
        return activation_of(value)
    return tuple(value) if isinstance(value, list) else value
