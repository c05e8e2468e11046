"""Load weights of any format into a model: strictly, and logging how they were adapted."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from ..models.layers.lora import LoRASettings, is_lora
from ..models.layers.patches import inflate_patch_weight
from ..utils.config_types import type_name
from .conversion import Conversion, check_state_dict
from .downloading import fetch
from .formats import FORMATS
from .reading import Checkpoint, load_content, read_checkpoint

__all__ = ['CLIPPretrained', 'fit_weights', 'load_any', 'load_weights']

_PATCHES = 'backbone.patch_embed.projection.weight'
_VISUAL = 'backbone.pos_embed'
_TEMPORAL = 'head.temporal.pos_embed'


# in MMEngine's registry, because its initialize() looks there when no scope is set
@WEIGHT_INITIALIZERS.register_module()
class CLIPPretrained:
    """Load CLIP, CLIP4Clip or TS2-Net weights of any format: ``init_cfg`` of TS2Net or an encoder.

    Both encoders, their projections and the logit scale are loaded. A temporal transformer that the
    weights do not contain starts from the first blocks and the positions of the text encoder, as in
    the released code. What the format does not have keeps its initialisation; the log lists it.

    Args:
        checkpoint: A file, a folder of Hugging Face or open_clip, a URL, or ``ViT-B/32``,
            ``ViT-B/16``, ``ViT-L/14`` or ``ViT-L/14@336px`` for OpenAI's, which is downloaded
            unless it is in the cache folder, and whose SHA-256 is checked.
        cache_dir: Folder for downloads; ``~/.cache/clip`` for names by default.

    Raises:
        FileNotFoundError: If the weights are missing and cannot be downloaded.
        ValueError: If they have no known format or do not fit.
    """

    def __init__(self, *, checkpoint: str | Path, cache_dir: str | Path | None = None) -> None:
        self.checkpoint = checkpoint
        self.cache_dir = cache_dir

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into TS2Net, TokenShiftViT or CLIPTextEncoder."""
        checkpoint = read_checkpoint(self.checkpoint, cache_dir=self.cache_dir)
        load_weights(module, checkpoint, part=getattr(module, 'key_prefix', ''))
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'CLIPPretrained: {self.checkpoint}')


# replaces MMEngine's loaders of files and URLs, which read torch's own format only
@CheckpointLoader.register_scheme(prefixes=('', 'http://', 'https://'), force=True)
def load_any(filename: str, map_location: Any = None) -> Any:
    """Load a checkpoint by path, URL or name, for ``load_from`` of MMEngine's Runner.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is unreadable; the message says what it seems to be.
    """
    return load_content(fetch(filename), map_location)


def load_weights(model: nn.Module, checkpoint: Checkpoint | str | Path, *, part: str = '') -> None:
    """Load weights of any format into a model; ``fit_weights`` describes how they are adapted.

    Args:
        model: TS2Net, or one of its encoders.
        checkpoint: Weights, or what ``read_checkpoint`` takes: a file, folder, URL or name.
        part: See ``fit_weights``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no checkpoint, or does not fit the model; the message lists the first
            ten keys that are missing, unexpected or misshapen.
    """
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = read_checkpoint(checkpoint)
    # check_state_dict has named every missing key that is not new
    model.load_state_dict(fit_weights(model, checkpoint, part=part), strict=False)


def fit_weights(model: nn.Module, checkpoint: Checkpoint, *, part: str = '') -> dict[str, Tensor]:
    """Make a state dict for a model from weights of any format.

    Positions are resized to another resolution, and stretched for more frames. A temporal
    transformer that the format does not have gets the text encoder's first blocks and positions, as
    in the released code, and patches of several frames get the weights for their middle frame. All
    of this is logged, and so are the parts of the model that the format does not have.

    Args:
        model: TS2Net, or one of its encoders.
        checkpoint: The weights.
        part: Prefix of the encoder's keys in TS2Net, such as ``backbone.``; empty for TS2Net.

    Raises:
        ValueError: If keys are unexpected, missing or misshapen (the first ten of each are listed),
            or the file states another activation or number of heads.
    """
    # keys of no known format are compared as they are, and listed as unexpected
    conversion = Conversion.from_checkpoint(checkpoint, default=FORMATS['ts2net_mm'])
    fmt = conversion.format
    notes = [] if fmt.is_own else [f'{fmt.name} weights']
    notes += conversion.describe_unused()
    expected = {part + key: tensor for key, tensor in model.state_dict().items()}
    tensors = {key: t for key, t in conversion.tensors.items() if key.startswith(part)}
    temporal = getattr(getattr(model, 'head', None), 'temporal', None)
    if getattr(temporal, 'start_from_clip', True):
        tensors |= _temporal_from_text(tensors, expected, notes)
    _resize_positions(tensors, expected, notes)
    _inflate_patches(tensors, expected, notes)

    # a part that is there must be complete
    new = tuple(p for p in fmt.new if not any(key.startswith(p) for key in tensors))
    adapted = any(map(is_lora, tensors))
    missing = {key for key in expected if key.startswith(new) or (is_lora(key) and not adapted)}
    check_state_dict(
        tensors,
        {key: t for key, t in expected.items() if key in tensors or key not in missing},
        unknown=conversion.unknown,
        name=checkpoint.name,
        source_key=fmt.source_key,
    )
    if checkpoint.settings:
        _check_settings(model, checkpoint, part)
    _log(checkpoint.name, notes, [key for key in expected if key not in tensors])
    return {key.removeprefix(part): tensor for key, tensor in tensors.items()}


def _temporal_from_text(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], notes: list[str]
) -> dict[str, Tensor]:
    """Take a temporal transformer from the text encoder if the weights have none and it fits."""
    if _TEMPORAL not in expected or any(key.startswith('head.temporal.') for key in tensors):
        return {}
    sources = {
        key: key.replace('head.temporal.', 'text_encoder.')
        for key in expected
        if key.startswith('head.temporal.')
    }
    # the positions may differ in number, which _resize_positions adapts
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
    num_patches = found.shape[1] - 1, wanted.shape[1] - 1
    old, new = (math.isqrt(number) for number in num_patches)
    if (old**2, new**2) != num_patches:
        return found  # the comparison with the model reports it
    notes.append(f'visual positions resized from {old} x {old} to {new} x {new} patches')
    # here, because it imports all models of MMPretrain
    from mmpretrain.models.utils import resize_pos_embed

    resized = resize_pos_embed(found.float(), (old, old), (new, new), 'bicubic', 1)
    return resized.to(found.dtype)


def _resize_temporal(found: Tensor, wanted: Tensor, notes: list[str]) -> Tensor:
    """Stretch the positions of the temporal transformer, or keep the first: (positions, D)."""
    old, new = len(found), len(wanted)
    if new < old:
        notes.append(f'temporal positions: the first {new} of {old} kept')
        return found[:new].clone()
    notes.append(f'temporal positions stretched from {old} to {new} by linear interpolation')
    table = found.float().T[None]
    # the first and the last frame keep their positions
    stretched = F.interpolate(table, size=new, mode='linear', align_corners=True)
    return stretched[0].T.to(found.dtype).contiguous()


def _inflate_patches(
    tensors: dict[str, Tensor], expected: Mapping[str, Tensor], notes: list[str]
) -> None:
    """Use the weights of a patch of one frame for the middle frame of a patch of several."""
    found, wanted = tensors.get(_PATCHES), expected.get(_PATCHES)
    if found is None or wanted is None or found.ndim != wanted.ndim:
        return
    if found.shape[1] == 3 < wanted.shape[1]:
        notes.append('the patch embedding starts with the middle frame alone')
        tensors[_PATCHES] = inflate_patch_weight(found, wanted.shape[1])


def _check_settings(model: nn.Module, checkpoint: Checkpoint, part: str) -> None:
    """Compare the settings that the file states with those of the model."""
    for name in ('backbone', 'text_encoder'):
        stated = checkpoint.settings.get(name, {})
        owner: Any = model if part == f'{name}.' else getattr(model, name, None)
        if not stated or owner is None:
            continue
        block = owner.layers[0]
        built = dict(num_heads=block.attn.num_heads, act_cfg=type(block.ffn.layers[0][1]).__name__)
        stated = dict(stated)
        if 'act_cfg' in stated:
            stated['act_cfg'] = type_name(stated['act_cfg'])
        if stated.get('lora') and owner.lora:
            stated['lora scale'] = LoRASettings.from_config(stated['lora']).scale
            built['lora scale'] = owner.lora.scale
        for key, value in built.items():
            if stated.get(key, value) != value:
                raise ValueError(
                    f'{checkpoint.name} was trained with {name} {key}={stated[key]!r}, but the '
                    f'model has {value!r}'
                )


def _log(name: str, notes: list[str], new: list[str]) -> None:
    if notes:
        print_log(f'{name}: {"; ".join(notes)}', logger='current')
    if new:
        names = [key.split('.') for key in new]
        # a backbone or head is named with its part, such as head.temporal
        parts = {'.'.join(n[:2]) if n[0] in ('head', 'backbone') else n[0] for n in names}
        print_log(
            f'{len(new)} tensors are new, the weights have no such part: '
            + ', '.join(sorted(parts)),
            logger='current',
            level=logging.WARNING,
        )
