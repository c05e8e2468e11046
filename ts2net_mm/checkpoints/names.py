"""Names of tensors inside a state dict."""

from collections.abc import Mapping

from torch import Tensor

__all__ = ['without_wrapper']


def without_wrapper(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take off the ``module.`` that a parallel wrapper puts before every key."""
    return {key.removeprefix('module.'): tensor for key, tensor in state_dict.items()}
