"""Settings of a model that its weights do not show, and the files that state them.

Checkpoints of this package store a model config. Folders of Hugging Face and open_clip contain
config files next to the weights, which ``add_config_files`` brings into the same shape.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.registry import MODELS
from mmengine.logging import print_log

from ..models.data_preprocessor import CLIP_MEAN, CLIP_STD
from ..utils.config_types import type_name

__all__ = [
    'CONFIG_FILES',
    'KEY',
    'activation_name',
    'add_config_files',
    'as_meta',
    'foreign_types',
    'hugging_face_config',
    'merged',
    'parse_stored',
]

KEY = 'ts2net_mm_model'  # of the model config, in the meta data of a checkpoint
CONFIG_FILES = ('config.json', 'preprocessor_config.json', 'open_clip_config.json')
# The types that a stored config may name. Without this list the registry would build whatever can
# be imported, and a checkpoint could run code.
KNOWN_TYPES = frozenset(
    (
        'TS2Net',
        'TokenShiftViT',
        'CLIPTextEncoder',
        'TokenShift',
        'RandomTokenShift',
        'ChannelShift',
        'TokenSelection',
        'FixedSelection',
        'PatchMean',
        'CLSOnly',
        'RetrievalHead',
        'TemporalTransformer',
        'TemporalLSTM',
        'TokenMean',
        'FrameWeightedSimilarity',
        'MeanPooledSimilarity',
        'BestFrameSimilarity',
        'AverageSimilarity',
        'TokenInteraction',
        'TokenWeights',
        'GELU',
        'mmpretrain.QuickGELU',
    )
)
# settings of the training, not of the architecture
_TRAINING = frozenset(
    (
        'init_cfg',
        'data_preprocessor',
        'frozen_stages',
        'frozen',
        'start_from_clip',
        'with_cp',
        'loss',
        'logit_scale',
    )
)
LAYER_NORM_EPS = 1e-5  # of CLIP, and of the models here
_ACTIVATIONS = {
    'quick_gelu': dict(type='mmpretrain.QuickGELU'),
    'gelu': dict(type='GELU'),
}
# values of open_clip's settings for which its CLIP computes the same as the models here
_OPEN_CLIP_BOTH: dict[str, tuple] = dict(
    mlp_ratio=(4, 4.0),
    ls_init_value=(None,),
    act_kwargs=(None, {}),
    norm_kwargs=(None, {}, dict(eps=LAYER_NORM_EPS)),
)
_OPEN_CLIP_KNOWN: dict[str, dict[str, tuple]] = {
    'vision_cfg': _OPEN_CLIP_BOTH
    | dict(
        pool_type=('tok', None),
        no_ln_pre=(False, None),
        final_ln_after_pool=(False, None),
        attentional_pool=(False, None),
        pos_embed_type=('learnable', None),
    ),
    'text_cfg': _OPEN_CLIP_BOTH
    | dict(
        pool_type=('argmax', None),
        no_causal_mask=(False, None),
        embed_cls=(False, None),
        proj_bias=(False, None),
    ),
}


def parse_stored(stored: Any, name: str) -> dict:
    """Parse the model config that a checkpoint of this package stores.

    Args:
        stored: The JSON under ``KEY``.
        name: What errors call the checkpoint.

    Raises:
        ValueError: If it is no config, or names a type that is not part of this package.
    """
    try:
        config = json.loads(stored)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name} stores a model config that is no JSON: {error}') from error
    if not isinstance(config, dict):
        raise ValueError(f'{name} stores a model config that is a {type(config).__name__}')
    if unknown := _unknown_types(config):
        raise ValueError(
            f'{name} stores a model config with {unknown[0]!r}, which is no part of this package'
        )
    return _architecture(config)


def as_meta(config: Mapping) -> dict[str, str]:
    """Return a model config as meta data of a checkpoint, empty if it has parts of other packages.

    Args:
        config: A config of TS2Net, with types written in any way that MMEngine accepts.
    """
    architecture = _with_known_types(_architecture(config))
    if not architecture or _unknown_types(architecture):
        return {}
    try:
        return {KEY: json.dumps(architecture)}
    except TypeError:  # such as a torch.dtype
        return {}


def foreign_types(config: Mapping) -> list[str]:
    """Return the types in a model config that are not part of this package."""
    unknown = _unknown_types(_with_known_types(_architecture(config)))
    return [kind if isinstance(kind, str) else kind.__name__ for kind in unknown]


def merged(config: Mapping, settings: Mapping) -> dict:
    """Return a config updated by settings; a part of another type is replaced as a whole."""
    result = dict(config)
    for key, value in settings.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            same = type_name(old) == type_name(value, default=type_name(old))
            result[key] = merged(old, value) if same else dict(value)
        else:
            result[key] = value
    return result


def _architecture(config: Any) -> Any:
    """Remove the settings of the training."""
    if isinstance(config, Mapping):
        return {k: _architecture(v) for k, v in config.items() if k not in _TRAINING}
    return config


def _with_known_types(config: Any) -> Any:
    """Write the types of this package by their registered names."""
    if isinstance(config, list | tuple):
        return [_with_known_types(part) for part in config]
    if not isinstance(config, Mapping):
        return config
    plain = {key: _with_known_types(value) for key, value in config.items() if key != '_scope_'}
    if (kind := plain.get('type')) is not None:
        known = {type_name(known): known for known in KNOWN_TYPES}.get(type_name(kind))
        if known is not None and kind != known:
            # another library may have a class of the same name
            found = MODELS.get(kind) if isinstance(kind, str) else kind
            plain['type'] = known if found is MODELS.get(known) else kind
    return plain


def _unknown_types(config: Any) -> list:
    """Return the types in a config that are not part of this package."""
    if isinstance(config, Mapping):
        kind = config.get('type')
        own = [] if kind is None or kind in KNOWN_TYPES else [kind]
        return own + [found for value in config.values() for found in _unknown_types(value)]
    if isinstance(config, list | tuple):
        return [found for value in config for found in _unknown_types(value)]
    return []


def add_config_files(content: Any, weights: Path) -> Any:
    """Add to the content of a weight file what the config files next to it state.

    The settings go into the meta data, as in a checkpoint of this package; meta data that the file
    has itself come first. Other normalisation constants than CLIP's give a warning.

    Args:
        content: What the file contains.
        weights: The file; files of open_clip are recognised by their names.

    Raises:
        ValueError: If a config file is unreadable, or states what the models here do not compute.
    """
    is_open_clip = weights.name.startswith('open_clip_')
    path = weights.with_name('open_clip_config.json' if is_open_clip else 'config.json')
    config = _read_json(path)
    if is_open_clip:
        settings = _open_clip_settings(config, path)
        _warn_of_normalisation(config.get('preprocess_cfg'), path)
    else:
        settings = _hugging_face_settings(config, path)
        path = weights.with_name('preprocessor_config.json')
        _warn_of_normalisation(_read_json(path), path, prefix='image_')
    if not settings or not isinstance(content, Mapping):
        return content
    content = dict(content) if 'state_dict' in content else dict(state_dict=content)
    content['meta'] = as_meta(settings) | dict(content.get('meta') or {})
    return content


def _open_clip_settings(config: Mapping, path: Path) -> dict:
    if config.get('model_cfg') is None:
        return {}
    config = _section(config, 'model_cfg', path)
    vision, text = (_section(config, name, path) for name in ('vision_cfg', 'text_cfg'))
    for name, section in (('vision_cfg', vision), ('text_cfg', text)):
        for key, known in _OPEN_CLIP_KNOWN[name].items():
            if key in section and section[key] not in known:
                raise ValueError(
                    f'{path}: {name}.{key} is {section[key]!r}, known is '
                    f'{" or ".join(map(repr, known))}'
                )
    activation = _activation('quick_gelu' if config.get('quick_gelu') else 'gelu', path)
    settings: dict[str, dict] = dict(backbone=dict(activation), text_encoder=dict(activation))
    if 'width' in vision:
        width = _count(vision, 'width', f'{path}: vision_cfg')
        head_width = _count(dict(head_width=64) | vision, 'head_width', f'{path}: vision_cfg')
        settings['backbone']['num_heads'] = width // head_width
    if text:
        heads = _count(dict(heads=8) | text, 'heads', f'{path}: text_cfg')
        settings['text_encoder']['num_heads'] = heads
    return settings


def _hugging_face_settings(config: Mapping, path: Path) -> dict:
    if config.get('model_type') != 'clip':
        return {}
    settings = {}
    for part, name in (('backbone', 'vision_config'), ('text_encoder', 'text_config')):
        section = _section(config, name, path)
        settings[part] = _activation(section.get('hidden_act', 'quick_gelu'), path)
        # without it, the heads of OpenAI's CLIPs follow from the width
        if 'num_attention_heads' in section:
            heads = _count(section, 'num_attention_heads', f'{path}: {name}')
            settings[part]['num_heads'] = heads
        if section.get('layer_norm_eps', LAYER_NORM_EPS) != LAYER_NORM_EPS:
            raise ValueError(
                f'{path}: {name}.layer_norm_eps is {section["layer_norm_eps"]!r}, known is '
                f'{LAYER_NORM_EPS}'
            )
    return settings


def hugging_face_config(config: Mapping) -> dict[str, Any]:
    """Return the ``config.json`` with which transformers builds the same CLIP."""
    vision, text = config['backbone'], config['text_encoder']

    def tower(part: Mapping, width: int) -> dict[str, Any]:
        return dict(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=part['num_layers'],
            num_attention_heads=part['num_heads'],
            hidden_act=activation_name(part.get('act_cfg')),
            layer_norm_eps=LAYER_NORM_EPS,
            projection_dim=text['out_dims'],
        )

    return dict(
        architectures=['CLIPModel'],
        model_type='clip',
        projection_dim=text['out_dims'],
        vision_config=dict(
            tower(vision, vision['embed_dims']),
            image_size=vision['img_size'],
            patch_size=vision['patch_size'],
        ),
        text_config=dict(
            tower(text, text['width']),
            vocab_size=text['vocab_size'],
            max_position_embeddings=text['context_length'],
            # CLIP finds the end of a text by the largest id
            bos_token_id=text['vocab_size'] - 2,
            eos_token_id=text['vocab_size'] - 1,
        ),
    )


def activation_name(act_cfg: Mapping | None) -> str:
    """Return Hugging Face's name of an activation; QuickGELU is the default."""
    return 'quick_gelu' if type_name(act_cfg, default='QuickGELU') == 'QuickGELU' else 'gelu'


def _warn_of_normalisation(stated: Any, path: Path, *, prefix: str = '') -> None:
    """Warn if images are normalised otherwise than for CLIP, which no weight shows."""
    if not isinstance(stated, dict):
        return
    for key, known in (('mean', CLIP_MEAN), ('std', CLIP_STD)):
        values = stated.get(f'{prefix}{key}')
        if not isinstance(values, list) or not all(isinstance(v, int | float) for v in values):
            continue
        clip = [value / 255 for value in known]
        if len(values) != len(clip) or np.allclose(values, clip, rtol=0, atol=1e-3):
            continue
        print_log(
            f"{path}: {prefix}{key} is {values}, not CLIP's {[round(v, 4) for v in clip]}; set "
            f'model.data_preprocessor.{key}={[round(255 * v, 3) for v in values]} in the config',
            logger='current',
            level=logging.WARNING,
        )


def _activation(name: Any, path: Path) -> dict[str, Any]:
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise ValueError(
            f'{path} asks for the activation {name!r}, known are {", ".join(_ACTIVATIONS)}'
        )
    return dict(act_cfg=dict(_ACTIVATIONS[name]))


def _section(config: Mapping, key: str, path: Path) -> dict:
    section = config.get(key) or {}
    if not isinstance(section, dict):
        raise ValueError(f'{path}: {key} is a {type(section).__name__}, expected an object')
    return section


def _count(section: Mapping, key: str, place: str) -> int:
    value = section[key]
    if not isinstance(value, int) or value < 1:
        raise ValueError(f'{place}.{key} is {value!r}, expected a whole number from 1')
    return value


def _read_json(path: Path) -> dict:
    """Read a JSON object; empty if there is no such file, or it contains something else."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f'{path} cannot be read: {error}') from error
    return content if isinstance(content, dict) else {}
