"""Does a state dict fit a model?"""

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

__all__ = ['LISTED_KEYS', 'check_state_dict']

LISTED_KEYS = 10


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
    problems = [
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


def _both(ours: str, theirs: str) -> str:
    return ours if ours == theirs else f'{ours} ({theirs})'


def _list(kind: str, keys: list[str]) -> str:
    more = ', ...' if len(keys) > LISTED_KEYS else ''
    return f'{len(keys)} {kind}: {", ".join(keys[:LISTED_KEYS])}{more}'
