"""Key names and tensor layouts of another library, told in both directions."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

__all__ = ['FLAT', 'KeyMap', 'Layout', 'ROWS', 'SAME', 'TRANSPOSED']

# what a placeholder of a template stands for
_PLACEHOLDERS = {'n': r'\d+', 'p': 'weight|bias'}


@dataclass(frozen=True)
class Layout:
    """How a tensor of another library becomes ours, and back.

    A tensor with another number of axes than expected is left as it is, so that the comparison with
    the model can name it.
    """

    axes: int
    our_axes: int
    to_ours: Callable[[Tensor], Tensor]
    from_ours: Callable[[Tensor], Tensor]

    def apply(self, tensor: Tensor) -> Tensor:
        """Bring a tensor into our layout."""
        return self.to_ours(tensor) if tensor.ndim == self.axes else tensor

    def revert(self, tensor: Tensor) -> Tensor:
        """Bring one of our tensors into the other layout."""
        return self.from_ours(tensor) if tensor.ndim == self.our_axes else tensor


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def _transpose(tensor: Tensor) -> Tensor:
    return tensor.T.contiguous()


SAME = Layout(-1, -1, _as_it_is, _as_it_is)
# a projection that multiplies from the right: (in, out) instead of a linear layer's (out, in)
TRANSPOSED = Layout(2, 2, _transpose, _transpose)
FLAT = Layout(1, 3, lambda tensor: tensor.view(1, 1, -1), lambda tensor: tensor.reshape(-1))
ROWS = Layout(2, 3, lambda tensor: tensor[None], lambda tensor: tensor[0])


class KeyMap:
    """Pairs of key templates: ours, the other library's, and optionally its layout.

    ``{n}`` stands for a block's number and ``{p}`` for weight or bias; both sides of a pair hold
    the same ones.

    Example:
        >>> from ts2net_mm.checkpoints.formats.key_map import KeyMap
        >>> names = KeyMap([('layers.{n}.ln1.{p}', 'resblocks.{n}.ln_1.{p}')])
        >>> names.to_ours('resblocks.3.ln_1.bias')[0], names.from_ours('layers.3.ln1.bias')[0]
        ('layers.3.ln1.bias', 'resblocks.3.ln_1.bias')
    """

    def __init__(self, pairs: Iterable[tuple[str, str] | tuple[str, str, Layout]]) -> None:
        rules = [(pair[0], pair[1], pair[2] if len(pair) == 3 else SAME) for pair in pairs]
        self._to_ours = [(_pattern(theirs), ours, layout) for ours, theirs, layout in rules]
        self._from_ours = [(_pattern(ours), theirs, layout) for ours, theirs, layout in rules]

    def to_ours(self, key: str) -> tuple[str, Layout] | None:
        """Our name of another library's key and its layout, or None for an unknown key."""
        return _rename(key, self._to_ours)

    def from_ours(self, key: str) -> tuple[str, Layout] | None:
        """The other library's name of our key and its layout, or None where it has none."""
        return _rename(key, self._from_ours)


def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template)
    for name, expression in _PLACEHOLDERS.items():
        pattern = pattern.replace(rf'\{{{name}\}}', f'(?P<{name}>{expression})')
    return re.compile(pattern)


def _rename(
    key: str, rules: list[tuple[re.Pattern[str], str, Layout]]
) -> tuple[str, Layout] | None:
    for pattern, template, layout in rules:
        if found := pattern.fullmatch(key):
            return template.format(**found.groupdict()), layout
    return None
