"""Fill a model with weights of any format: strictly, and saying what was done to them."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from ..utils.config_types import type_name
from .conversion import Conversion
from .formats import FORMATS, recognise, unsupported
from .matching import check_state_dict
from .reading import Checkpoint

__all__ = ['fit_weights', 'load_weights']

_VISUAL = 'backbone.pos_embed'
_TEMPORAL = 'head.temporal.pos_embed'


def load_weights(model: nn.Module, checkpoint: Checkpoint, *, part: str = '') -> None:
    """Load weights of any format into a model, as ``fit_weights`` says."""
    model.load_state_dict(fit_weights(model, checkpoint, part=part), strict=False)


def fit_weights(model: nn.Module, checkpoint: Checkpoint, *, part: str = '') -> dict[str, Tensor]:
    """Make a state dict for a model from weights of any format.

    Positions of another resolution are resized, those of more frames stretched. A temporal
    transformer that the format does not know gets the text encoder's first blocks and positions, as
    in the release. All of that is logged, and so is what stays new because the format has no such
    part.

    Args:
        model: TS2Net, or its part that ``part`` names.
        checkpoint: The weights.
        part: Beginning of the keys of the part, such as ``backbone.``; empty for the whole model.

    Raises:
        ValueError: If the format is unknown, keys are unexpected, missing or misshapen (the first
            ten of each are listed), or the file tells another activation or number of heads.
    """
    conversion = _convert(checkpoint)
    expected = {part + key: tensor for key, tensor in model.state_dict().items()}
    tensors = {key: t for key, t in conversion.tensors.items() if key.startswith(part)}
    notes = conversion.describe_unused()
    tensors |= _temporal_from_text(tensors, expected, notes)
    _resize_positions(tensors, expected, notes)
    new = [
        prefix
        for prefix in conversion.format.new
        if not any(key.startswith(prefix) for key in tensors)
    ]
    check_state_dict(
        tensors,
        {key: t for key, t in expected.items() if key in tensors or not key.startswith(tuple(new))},
        unknown=conversion.unknown,
        name=checkpoint.name,
        name_of=conversion.format.their_name,
    )
    _check_settings(model, checkpoint, part)
    if conversion.format is not FORMATS['ts2net_mm']:
        notes.insert(0, f'{conversion.format.name} weights')
    _log(checkpoint.name, notes, [key for key in expected if key not in tensors])
    return {key.removeprefix(part): tensor for key, tensor in tensors.items()}


def _convert(checkpoint: Checkpoint) -> Conversion:
    """Rename the weights; those of an unknown format go to the comparison as they are."""
    if recognise(checkpoint.state_dict) is None and not unsupported(checkpoint.state_dict):
        return Conversion(FORMATS['ts2net_mm'], checkpoint.state_dict, [], ())
    try:
        return Conversion.of(checkpoint.state_dict)
    except ValueError as error:
        raise ValueError(f'{checkpoint.name}: {error}') from error


def _temporal_from_text(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], notes: list[str]
) -> dict[str, Tensor]:
    """Take a temporal transformer from the text encoder where the weights have none."""
    if _TEMPORAL not in expected or any(key.startswith('head.temporal.') for key in tensors):
        return {}
    sources = {
        key: key.replace('head.temporal.', 'text_encoder.')
        for key in expected
        if key.startswith('head.temporal.')
    }
    fits = all(
        source in tensors
        and (key == _TEMPORAL or tensors[source].shape == expected[key].shape)
        and tensors[source].shape[-1] == expected[key].shape[-1]
        for key, source in sources.items()
    )
    if not fits:
        return {}
    notes.append("the temporal transformer starts from the text encoder's first blocks")
    return {key: tensors[source].clone() for key, source in sources.items()}


def _resize_positions(
    tensors: dict[str, Tensor], expected: Mapping[str, Tensor], notes: list[str]
) -> None:
    for key, resize in ((_VISUAL, _resize_visual), (_TEMPORAL, _resize_temporal)):
        found, wanted = tensors.get(key), expected.get(key)
        if found is None or wanted is None or found.ndim != wanted.ndim:
            continue
        if found.shape[-1] == wanted.shape[-1] and found.shape != wanted.shape:
            tensors[key] = resize(found, wanted, notes)


def _resize_visual(found: Tensor, wanted: Tensor, notes: list[str]) -> Tensor:
    """Resize the positions of the patches: (1, 1 + P, D)."""
    sides = [math.isqrt(table.shape[1] - 1) for table in (found, wanted)]
    if any(side**2 != t.shape[1] - 1 for side, t in zip(sides, (found, wanted), strict=True)):
        return found
    old, new = ((side, side) for side in sides)
    notes.append(
        f'visual positions resized from {old[0]} x {old[1]} to {new[0]} x {new[1]} patches'
    )
    # here, because with it come all models of MMPretrain
    from mmpretrain.models.utils import resize_pos_embed

    return resize_pos_embed(found.float(), old, new, 'bicubic', 1).to(found.dtype)


def _resize_temporal(found: Tensor, wanted: Tensor, notes: list[str]) -> Tensor:
    """Stretch the positions of the temporal transformer, or keep the first: (positions, D)."""
    old, new = len(found), len(wanted)
    if new < old:
        notes.append(f'temporal positions: the first {new} of {old} kept')
        return found[:new].clone()
    notes.append(f'temporal positions stretched from {old} to {new} by linear interpolation')
    table = found.float().T[None]
    stretched = F.interpolate(table, size=new, mode='linear', align_corners=True)
    return stretched[0].T.to(found.dtype).contiguous()


def _check_settings(model: nn.Module, checkpoint: Checkpoint, part: str) -> None:
    """Compare what the file tells beside its tensors with how the model is built."""
    for name in ('backbone', 'text_encoder'):
        told = checkpoint.settings.get(name, {})
        owner: Any = model if part == f'{name}.' else getattr(model, name, None)
        if not told or owner is None:
            continue
        block = owner.layers[0]
        built = dict(num_heads=block.attn.num_heads, act_cfg=type(block.ffn.layers[0][1]).__name__)
        if 'act_cfg' in told:
            told = dict(told, act_cfg=type_name(told['act_cfg']))
        for key, value in built.items():
            if told.get(key, value) != value:
                raise ValueError(
                    f'{checkpoint.name} was trained with {name} {key}={told[key]!r}, but the model '
                    f'has {value!r}'
                )


def _log(name: str, notes: list[str], new: list[str]) -> None:
    if notes:
        print_log(f'{name}: {"; ".join(notes)}', logger='current')
    if new:
        parts = sorted({_part_of(key) for key in new})
        print_log(
            f'{len(new)} tensors are new, the weights have no such part: {", ".join(parts)}',
            logger='current',
            level=logging.WARNING,
        )


def _part_of(key: str) -> str:
    """Name the part of the model that a key belongs to: ``neck``, ``head.temporal``, ..."""
    names = key.split('.')
    return '.'.join(names[:2]) if names[0] in ('head', 'backbone') else names[0]
