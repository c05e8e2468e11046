"""Convert released TS2-Net weights into this package's state dict."""

from collections.abc import Mapping

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from .architecture import config_from_state_dict
from .matching import check_state_dict
from .released import IGNORED_KEYS, rename_key, to_our_layout, without_wrapper

__all__ = ['convert_state_dict']


def convert_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reshape released TS2-Net weights for this package; values and dtypes stay.

    Args:
        state_dict: Released TS2-Net weights, see ``config_from_state_dict``.

    Returns:
        The state dict of the model that ``config_from_state_dict`` describes.

    Raises:
        ValueError: If keys are unknown, missing or misshapen; the first ten of each are listed.
    """
    config = config_from_state_dict(state_dict)
    converted: dict[str, Tensor] = {}
    unknown = []
    for key, tensor in without_wrapper(state_dict).items():
        name = rename_key(key)
        if name is not None:
            converted[name] = to_our_layout(name, tensor)
        elif key not in IGNORED_KEYS:
            unknown.append(key)
    check_state_dict(converted, _skeleton(config).state_dict(), unknown=unknown)
    return converted


def _skeleton(config: dict) -> nn.Module:
    """The model without memory for its weights."""
    with torch.device('meta'):
        return MODELS.build(config)
