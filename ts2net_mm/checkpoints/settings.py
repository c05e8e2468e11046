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
    'merged',
    'read_json',
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
LAYER_NORM_EPS = 1e-5  # of CLIP, and of the models here
# values of open_clip's settings with which its CLIP computes what the models here compute
_OPEN_CLIP_KNOWN: dict[str, dict[str, tuple]] = {
    'vision_cfg': dict(
        pool_type=('tok', None),
        mlp_ratio=(4, 4.0),
        no_ln_pre=(False, None),
        final_ln_after_pool=(False, None),
        attentional_pool=(False, None),
        pos_embed_type=('learnable', None),
        ls_init_value=(None,),
        act_kwargs=(None, {}),
        norm_kwargs=(None, {}, dict(eps=LAYER_NORM_EPS)),
    ),
    'text_cfg': dict(
        pool_type=('argmax', None),
        mlp_ratio=(4, 4.0),
        no_causal_mask=(False, None),
        embed_cls=(False, None),
        proj_bias=(False, None),
        ls_init_value=(None,),
        act_kwargs=(None, {}),
        norm_kwargs=(None, {}, dict(eps=LAYER_NORM_EPS)),
    ),
}
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
        ValueError: If it is a CLIP's, but cannot be read or asks for what is not computed here.
    """
    if path.name.startswith('open_clip_'):
        beside = path.with_name('open_clip_config.json')
        content = read_json(beside)
        if content.get('model_cfg') is None:
            return {}
        return _open_clip_settings(_section(content, 'model_cfg', beside), beside)
    beside = path.with_name('config.json')
    config = read_json(beside)
    return _hugging_face_settings(config, beside) if config.get('model_type') == 'clip' else {}


def _open_clip_settings(config: Mapping, beside: Path) -> dict:
    """Settings of both encoders; what changes the arithmetic and is not known here is refused."""
    settings = _both_encoders('quick_gelu' if config.get('quick_gelu') else 'gelu', beside)
    vision, text = (_section(config, name, beside) for name in ('vision_cfg', 'text_cfg'))
    for name, told in (('vision_cfg', vision), ('text_cfg', text)):
        for key, known in _OPEN_CLIP_KNOWN[name].items():
            if key in told and told[key] not in known:
                raise ValueError(
                    f'{beside}: {name}.{key} is {told[key]!r}, known is '
                    f'{" or ".join(map(repr, known))}'
                )
    if 'width' in vision:
        width = _count(vision, 'width', 'vision_cfg', beside)
        head_width = _count(dict(head_width=64) | vision, 'head_width', 'vision_cfg', beside)
        settings['backbone']['num_heads'] = width // head_width
    if text:
        heads = _count(dict(heads=8) | text, 'heads', 'text_cfg', beside)
        settings['text_encoder']['num_heads'] = heads
    return settings


def _hugging_face_settings(config: Mapping, beside: Path) -> dict:
    settings = _both_encoders('quick_gelu', beside)
    for part, source in (('backbone', 'vision_config'), ('text_encoder', 'text_config')):
        told = _section(config, source, beside)
        if 'hidden_act' in told:
            settings[part] = _both_encoders(told['hidden_act'], beside)[part]
        if 'num_attention_heads' in told:
            heads = _count(told, 'num_attention_heads', source, beside)
            settings[part]['num_heads'] = heads
        if told.get('layer_norm_eps', LAYER_NORM_EPS) != LAYER_NORM_EPS:
            raise ValueError(
                f'{beside}: {source}.layer_norm_eps is {told["layer_norm_eps"]!r}, known is '
                f'{LAYER_NORM_EPS}'
            )
    return settings


def merged(config: Mapping, settings: Mapping) -> dict:
    """Let settings replace what they name; a part of another type is replaced whole."""
    result = dict(config)
    for key, value in settings.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            same = type_name(old) == type_name(value, default=type_name(old))
            result[key] = merged(old, value) if same else dict(value)
        else:
            result[key] = value
    return result


def activation_of(act_cfg: Mapping | None) -> str:
    """Hugging Face's name of an activation; QuickGELU where a part names none."""
    kind = type_name(act_cfg, default='QuickGELU')
    return 'quick_gelu' if kind == 'QuickGELU' else 'gelu'


def _architecture_of(config: Any) -> Any:
    """Leave of a model config what its architecture needs."""
    if isinstance(config, Mapping):
        return {k: _architecture_of(v) for k, v in config.items() if k not in _TRAINING}
    return config


def _section(config: Mapping, key: str, beside: Path) -> dict:
    section = config.get(key) or {}
    if not isinstance(section, dict):
        raise ValueError(f'{beside}: {key} is a {type(section).__name__}, expected an object')
    return section


def _count(section: Mapping, key: str, name: str, beside: Path) -> int:
    value = section[key]
    if not isinstance(value, int) or value < 1:
        raise ValueError(f'{beside}: {name}.{key} is {value!r}, expected a whole number from 1')
    return value


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
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise ValueError(
            f'{path} asks for the activation {activation!r}, known are {", ".join(_ACTIVATIONS)}'
        )
    return {
        part: dict(act_cfg=dict(_ACTIVATIONS[activation])) for part in ('backbone', 'text_encoder')
    }


def read_json(path: Path) -> dict:
    """Read a JSON object; nothing where there is no file, or another kind of content.

    Raises:
        ValueError: If the file cannot be read.
    """
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
