"""Does a state dict fit a model?"""

import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

__all__ = ['LISTED_KEYS', 'check_state_dict']

LISTED_KEYS = 10
BLOCK = re.compile(r'(.+?\.layers)\.(\d+)\.')


def check_state_dict(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    unknown: Iterable[str] = (),
    name: str = 'the state dict',
    name_of: Callable[[str], str] = str,
) -> None:
    """Compare keys and shapes.

    Args:
        found: The state dict that was read.
        expected: The state dict of the model it should fill; meta tensors will do.
        unknown: Further keys that were found and belong nowhere.
        name: What the error calls the state dict, such as its file.
        name_of: Gives the name of one of the model's keys in the file.

    Raises:
        ValueError: If keys are unexpected, missing or misshapen; the first ten of each are listed.
    """
    unexpected = [*unknown, *(key for key in found if key not in expected)]
    missing = [_both(key, name_of(key)) for key in expected if key not in found]
    misshapen = [
        f'{_both(key, name_of(key))} {tuple(found[key].shape)} instead of {tuple(tensor.shape)}'
        for key, tensor in expected.items()
        if key in found and found[key].shape != tensor.shape
    ]
    causes, stacks = _compare_stacks(found, expected)
    unexpected = [key for key in unexpected if not key.startswith(stacks)]
    missing = [text for text in missing if not text.startswith(stacks)]
    problems = causes + [
        _list(kind, keys)
        for kind, keys in (
            ('unexpected', unexpected),
            ('missing', missing),
            ('misshapen', misshapen),
        )
        if keys
    ]
    if problems:
        raise ValueError(f'{name} does not fit the model: ' + '; '.join(problems))


def _compare_stacks(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> tuple[list[str], tuple[str, ...]]:
    """Say which stacks of blocks differ in their number; also return the names of these stacks."""
    numbers = [_count_blocks(keys) for keys in (found, expected)]
    different = [
        stack
        for stack in numbers[0]
        if numbers[1].get(stack, numbers[0][stack]) != numbers[0][stack]
    ]
    causes = [
        f'{stack} has {numbers[0][stack]} blocks in the file and {numbers[1][stack]} in the model'
        for stack in different
    ]
    return causes, tuple(f'{stack}.' for stack in different)


def _count_blocks(keys: Iterable[str]) -> dict[str, int]:
    blocks: dict[str, set[str]] = {}
    for key in keys:
        if match := BLOCK.match(key):
            blocks.setdefault(match[1], set()).add(match[2])
    return {stack: len(numbers) for stack, numbers in blocks.items()}


def _both(ours: str, theirs: str) -> str:
    return ours if ours == theirs else f'{ours} ({theirs})'


def _list(kind: str, keys: list[str]) -> str:
    more = ', ...' if len(keys) > LISTED_KEYS else ''
    return f'{len(keys)} {kind}: {", ".join(keys[:LISTED_KEYS])}{more}'
