"""Settings of a model that leave no trace in its weights, as files tell them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmaction.registry import MODELS

from ..utils.config_types import type_name

__all__ = [
    'KEY',
    'activation_of',
    'add_settings',
    'as_meta',
    'foreign_types',
    'settings_beside',
    'settings_inside',
]

KEY = 'ts2net_mm_model'  # in a checkpoint's meta data
# What a stored config may name. Elsewhere a registry builds whatever can be imported.
KNOWN_TYPES = frozenset(
    (
        'TS2Net',
        'TokenShiftViT',
        'CLIPTextEncoder',
        'TokenSelection',
        'CLSOnly',
        'RetrievalHead',
        'TemporalTransformer',
        'TemporalLSTM',
        'TokenMean',
        'FrameWeightedSimilarity',
        'MeanPooledSimilarity',
        'GELU',
        'mmpretrain.QuickGELU',
    )
)
# of the training, not of the architecture
_TRAINING = frozenset(
    ('init_cfg', 'data_preprocessor', 'frozen_stages', 'with_cp', 'loss', 'logit_scale')
)
_ACTIVATIONS = {
    'quick_gelu': dict(type='mmpretrain.QuickGELU'),
    'gelu': dict(type='GELU'),
}


def settings_inside(content: Any, name: str) -> dict:
    """The model config that this package stores in its checkpoints, or nothing.

    Raises:
        ValueError: If it names a part that is not of this package.
    """
    meta = content.get('meta') if isinstance(content, Mapping) else None
    stored = meta.get(KEY) if isinstance(meta, Mapping) else None
    if stored is None:
        return {}
    try:
        config = json.loads(stored)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name} tells a model config that is no JSON: {error}') from error
    if not isinstance(config, dict):
        raise ValueError(f'{name} tells a model config that is a {type(config).__name__}')
    if unknown := _unknown_types(config):
        raise ValueError(
            f'{name} tells a model config with {unknown[0]!r}, which is no part of this package'
        )
    return _architecture_of(config)


def as_meta(config: Mapping) -> dict[str, str]:
    """Meta data that tell a model config; none for one with parts that are not of this package."""
    architecture = _with_known_types(_architecture_of(config))
    if not architecture or _unknown_types(architecture):
        return {}
    try:
        return {KEY: json.dumps(architecture)}
    except TypeError:  # such as a torch.dtype
        return {}


def foreign_types(config: Mapping) -> list[str]:
    """Name the parts of a model config that are not of this package."""
    unknown = _unknown_types(_with_known_types(_architecture_of(config)))
    return [kind if isinstance(kind, str) else kind.__name__ for kind in unknown]


def add_settings(content: Any, settings: dict) -> Any:
    """Put settings into the meta data of what a file holds, unless it tells its own."""
    if not isinstance(content, Mapping):
        return content
    content = dict(content) if 'state_dict' in content else dict(state_dict=content)
    content['meta'] = as_meta(settings) | dict(content.get('meta') or {})
    return content


def settings_beside(path: Path) -> dict:
    """What the config of Hugging Face or open_clip beside a weight file tells, or nothing.

    Raises:
        ValueError: If it is a CLIP's, but cannot be read or asks for an unknown activation.
    """
    if path.name.startswith('open_clip_'):
        config = _read_json(path.with_name('open_clip_config.json')).get('model_cfg')
        if config is None:
            return {}
        return _both_encoders('quick_gelu' if config.get('quick_gelu') else 'gelu', path)
    config = _read_json(path.with_name('config.json'))
    if config.get('model_type') != 'clip':
        return {}
    settings = _both_encoders('quick_gelu', path)
    for part, source in (('backbone', 'vision_config'), ('text_encoder', 'text_config')):
        told = config.get(source) or {}
        if 'hidden_act' in told:
            settings[part] = _both_encoders(told['hidden_act'], path)[part]
        if 'num_attention_heads' in told:
            settings[part]['num_heads'] = told['num_attention_heads']
    return settings


def activation_of(act_cfg: Mapping | None) -> str:
    """Hugging Face's name of an activation; QuickGELU where a part names none."""
    kind = type_name(act_cfg, default='QuickGELU')
    return 'quick_gelu' if kind == 'QuickGELU' else 'gelu'


def _architecture_of(config: Any) -> Any:
    """Leave of a model config what its architecture needs."""
    if isinstance(config, Mapping):
        return {k: _architecture_of(v) for k, v in config.items() if k not in _TRAINING}
    return config


def _with_known_types(config: Any) -> Any:
    """Write the types of this package by their registered names, however the config does."""
    if not isinstance(config, Mapping):
        return config
    plain = {key: _with_known_types(value) for key, value in config.items() if key != '_scope_'}
    if (kind := plain.get('type')) is not None:
        plain['type'] = _known_type(kind) or kind
    return plain


def _known_type(kind: Any) -> str | None:
    """The stored name of a type, None for one that is not of this package."""
    by_name = {type_name(known): known for known in KNOWN_TYPES}
    known = by_name.get(type_name(kind))
    if known is None or kind == known:
        return known
    # another library may have a class of the same name
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    return known if found is MODELS.get(known) else None


def _both_encoders(activation: str, path: Path) -> dict[str, dict]:
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f'the config beside {path} asks for the activation {activation!r}, known are '
            f'{", ".join(_ACTIVATIONS)}'
        )
    return {
        part: dict(act_cfg=dict(_ACTIVATIONS[activation])) for part in ('backbone', 'text_encoder')
    }


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f'{path} cannot be read: {error}') from error
    return content if isinstance(content, dict) else {}


def _unknown_types(config: Any) -> list:
    """Types in a config that are not of this package."""
    if isinstance(config, Mapping):
        kind = config.get('type')
        own = [] if kind is None or kind in KNOWN_TYPES else [kind]
        return own + [found for value in config.values() for found in _unknown_types(value)]
    if isinstance(config, list | tuple):
        return [found for value in config for found in _unknown_types(value)]
    return []
