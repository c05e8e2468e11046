"""A state dict of any known format under this package's names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor

from .architecture import Shapes, backbone_config, model_config
from .formats import FORMATS, Format, recognise, unsupported
from .matching import LISTED_KEYS, check_state_dict
from .names import without_wrapper
from .settings import merged

__all__ = ['Conversion', 'config_from_state_dict', 'convert_state_dict']


@dataclass(frozen=True)
class Conversion:
    """A state dict that was recognised and renamed.

    Args:
        format: Where it comes from.
        tensors: Its weights under this package's names, in this package's layouts.
        unknown: Keys that the format does not know.
        shift_layers: Blocks of the ViT in which tokens move between frames.
        unused: Keys that were left out, as the model they come from never reads them.
    """

    format: Format
    tensors: dict[str, Tensor]
    unknown: list[str]
    shift_layers: tuple[int, ...]
    unused: tuple[str, ...] = ()

    @classmethod
    def of(cls, state_dict: Mapping[str, Tensor]) -> 'Conversion':
        """Recognise and rename a state dict.

        Raises:
            ValueError: If its format is unknown, its model is not supported, or weights are NaN or
                infinite.
        """
        state_dict = without_wrapper(state_dict)
        if message := unsupported(state_dict):
            raise ValueError(f'this is {message}')
        fmt = recognise(state_dict)
        if fmt is None:
            names = ', '.join(known.name for known in FORMATS.values())
            raise ValueError(
                f'this is no state dict of a known format ({names}): none of its '
                f'{len(state_dict)} keys is known, the first are {list(state_dict)[:10]}'
            )
        tensors, unknown = fmt.to_ours(state_dict)
        _check_finite(tensors, fmt)
        unused = tuple(key for key in state_dict if key in fmt.unused)
        return cls(fmt, tensors, unknown, fmt.shift_layers(state_dict), unused)

    def describe_unused(self) -> list[str]:
        """Say which tensors were left out, and why; nothing if there are none."""
        if not self.unused:
            return []
        parts = sorted({key.split('.')[0] for key in self.unused})
        return [
            f'{len(self.unused)} tensors left out, which the released model saves and never reads: '
            + ', '.join(f'{part}.*' for part in parts)
        ]

    def config(self) -> dict:
        """Config of the model that the weights belong to.

        Raises:
            ValueError: If the weights are those of an image encoder alone, or a tensor that shows
                the architecture is missing.
        """
        if self.format is FORMATS['mmpretrain_vit']:
            raise ValueError(
                f'{self.format.name} weights are an image encoder without text; load them with '
                "init_cfg=dict(type='CLIPPretrained', checkpoint=...) into a configured model"
            )
        return model_config(
            self.tensors, shift_layers=self.shift_layers, name_of=self.format.their_name
        )

    def check(self, config: dict | None = None) -> None:
        """Compare the tensors with a model.

        Args:
            config: The model; by default that which the shapes show.

        Raises:
            ValueError: If keys are unknown, missing or misshapen; the first ten of each are listed.
        """
        if self.format is FORMATS['mmpretrain_vit']:
            expected = self._backbone_tensors()
        else:
            expected = _build_without_memory(config or self.config()).state_dict()
        check_state_dict(
            self.tensors, expected, unknown=self.unknown, name_of=self.format.their_name
        )

    def _backbone_tensors(self) -> dict[str, Tensor]:
        config = backbone_config(Shapes(self.tensors, self.format.their_name))
        built = _build_without_memory(config).state_dict()
        return {f'backbone.{key}': t for key, t in built.items() if not key.startswith('proj.')}


def config_from_state_dict(state_dict: Mapping[str, Tensor]) -> dict:
    """Derive the config of the model that a CLIP or TS2-Net state dict belongs to.

    A plain CLIP becomes a model of its frames' mean, which is CLIP4Clip's meanP. Settings that
    leave no trace in the weights (number of selected patches, sigma, temperature, activation) keep
    the values of OpenAI's CLIP and the released TS2-Net. Nothing is frozen: what trains is the
    training config's choice.

    Args:
        state_dict: Weights of any format that ``convert_state_dict`` takes. What a config file
            beside them tells (activation, heads) is part of what ``read_state_dict`` returns.

    Returns:
        A config for ``MODELS.build``.

    Raises:
        ValueError: If the format is unknown, or a tensor that shows the architecture is missing;
            the message names it.
    """
    config = Conversion.of(state_dict).config()
    return merged(config, getattr(state_dict, 'settings', {}))


def convert_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and lay out weights for this package; values and dtypes stay.

    Args:
        state_dict: Weights of CLIP as OpenAI, open_clip, Hugging Face or MMPretrain save them, of
            the released TS2-Net, of CLIP4Clip, or of this package; recognised by their keys.

    Returns:
        The state dict of the model that ``config_from_state_dict`` describes.

    Raises:
        ValueError: If the format is unknown, or keys are unknown, missing or misshapen; the first
            ten of each are listed.
    """
    conversion = Conversion.of(state_dict)
    conversion.check()
    for note in conversion.describe_unused():
        print_log(note, logger='current')
    return conversion.tensors


def _check_finite(tensors: Mapping[str, Tensor], fmt: Format) -> None:
    bad = [
        fmt.their_name(key)
        for key, tensor in tensors.items()
        if tensor.is_floating_point() and not tensor.is_meta and not torch.isfinite(tensor).all()
    ]
    if bad:
        more = ', ...' if len(bad) > LISTED_KEYS else ''
        raise ValueError(
            f'{len(bad)} of {len(tensors)} tensors hold NaN or infinite numbers: '
            f'{", ".join(bad[:LISTED_KEYS])}{more}'
        )


def _build_without_memory(config: dict) -> Any:
    with torch.device('meta'):
        return MODELS.build(config)
