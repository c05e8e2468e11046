"""Items that may take the place of others in a batch without breaking its rule."""

import numpy as np

__all__ = ['ItemNumber', 'draw_substitutes']

PER_ITEM = 8
DRAWN_PER_ITEM = 12  # some fall into the batch's groups or are drawn twice


class ItemNumber(int):
    """The number of an item, and of those that may stand in for it where it cannot be read."""

    substitutes: tuple[int, ...]

    def __new__(cls, number: int, substitutes: tuple[int, ...] = ()) -> 'ItemNumber':
        """Make a number that remembers its substitutes, also when it is sent to a process."""
        item = super().__new__(cls, number)
        item.substitutes = substitutes
        return item

    # by these MMEngine's ConcatDataset and RepeatDataset find the item in what they wrap
    def __sub__(self, offset: int) -> 'ItemNumber':
        """Count from the first item of one of several data sets, the substitutes too."""
        return ItemNumber(int(self) - offset, tuple(one - offset for one in self.substitutes))

    def __mod__(self, size: int) -> 'ItemNumber':
        """Number an item of a repeated data set, the substitutes too."""
        return ItemNumber(int(self) % size, tuple(one % size for one in self.substitutes))


def draw_substitutes(
    groups: np.ndarray, batch: np.ndarray, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Draw up to eight substitutes for each item of a batch.

    Their groups are neither in the batch nor the group of another substitute, so any number of them
    may be used. With few groups there are fewer, or none.

    Args:
        groups: Group number of each item of the data set.
        batch: Items of the global batch.
        rng: Source of the draws.

    Shape:
        - groups: (items,) int64; batch: (B,) int64
    """
    drawn = rng.integers(len(groups), size=DRAWN_PER_ITEM * len(batch))
    drawn = drawn[~np.isin(groups[drawn], groups[batch])]
    first = np.unique(groups[drawn], return_index=True)[1]
    drawn = drawn[np.sort(first)][: PER_ITEM * len(batch)]
    return [tuple(drawn[place :: len(batch)].tolist()) for place in range(len(batch))]
