"""This package's own key names."""

from collections.abc import Collection, Mapping

from torch import Tensor

from .base import Format

__all__ = ['Ours']


class Ours(Format):
    """Weights of TS2Net as this package saves them."""

    name = 'ts2net_mm'

    def recognises(self, keys: Collection[str]) -> bool:
        """Tell whether a state dict with these keys is of this format."""
        return all(
            any(key.startswith(part) for key in keys) for part in ('backbone.', 'text_encoder.')
        )

    def to_ours(self, state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Return the state dict as it is."""
        return dict(state_dict), []

    def from_ours(self, tensors: Mapping[str, Tensor], config: dict) -> dict[str, Tensor]:
        """Return the tensors as they are."""
        return dict(tensors)

    def shift_layers(self, state_dict: Mapping[str, Tensor]) -> tuple[int, ...]:
        """Guess the last two blocks where there is a token selection, as in the paper.

        The shift has no weights; checkpoints that this package writes tell it beside them.
        """
        if not any(key.startswith('neck.') for key in state_dict):
            return ()
        prefix = 'backbone.layers.'
        blocks = {int(key.split('.')[2]) for key in state_dict if key.startswith(prefix)}
        return tuple(sorted(blocks)[-2:])

    def their_name(self, key: str) -> str:
        """Return the key itself."""
        return key
