"""What all weight formats have in common."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from torch import Tensor

from .key_map import KeyMap

__all__ = ['Format']


class Format(ABC):
    """A way in which some library names and lays out the weights of CLIP or of a model on it.

    ``name`` is what messages call it, ``key_map`` its names, ``new`` the beginnings of our keys
    that its files may lack, wholly, because the model they come from has no such part. ``unused``
    are tensors of its files that the model they come from never reads.
    """

    name: str
    key_map: KeyMap
    new: tuple[str, ...] = ()
    unused: frozenset[str] = frozenset()

    @abstractmethod
    def recognises(self, keys: Collection[str]) -> bool:
        """Tell whether a state dict with these keys is of this format."""

    def to_ours(self, state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Rename and lay out a state dict for this package; also return the keys it does not know.

        Values and dtypes stay.
        """
        tensors, unknown = {}, []
        for key, tensor in state_dict.items():
            if key in self.unused or self.ignores(key):
                continue
            renamed = self.key_map.to_ours(key)
            if renamed is None:
                unknown.append(key)
            else:
                name, layout = renamed
                tensors[name] = layout.apply(tensor)
        return tensors, unknown

    def from_ours(self, tensors: Mapping[str, Tensor], config: dict) -> dict[str, Tensor]:
        """Rename and lay out this package's tensors for the format.

        Raises:
            ValueError: If the format cannot hold them; the first ten are listed.
        """
        written, inexpressible = {}, []
        for key, tensor in tensors.items():
            renamed = self.key_map.from_ours(key)
            if renamed is None:
                inexpressible.append(key)
            else:
                name, layout = renamed
                written[name] = layout.revert(tensor)
        if inexpressible:
            raise ValueError(
                f'{self.name} weights cannot hold {len(inexpressible)} of the tensors: '
                + ', '.join(inexpressible[:10])
            )
        return written

    def ignores(self, key: str) -> bool:
        """Tell whether a key holds no weight, such as a size that stands beside them."""
        return False

    def shift_layers(self, state_dict: Mapping[str, Tensor]) -> tuple[int, ...]:
        """Blocks of the ViT in which tokens move between frames."""
        return ()

    def our_name(self, key: str) -> str | None:
        """A key of this format as this package calls it, or None for an unknown one."""
        renamed = self.key_map.to_ours(key)
        return renamed[0] if renamed else None

    def their_name(self, key: str) -> str:
        """One of our keys as the files of this format call it."""
        renamed = self.key_map.from_ours(key)
        return renamed[0] if renamed else key
