"""Look through MMEngine's wrappers of data sets: concatenated, repeated, balanced or cut."""

from typing import Any

__all__ = ['group_values', 'inner_datasets']


def inner_datasets(dataset: Any) -> list[Any]:
    """List the data sets inside a wrapper, or the data set itself.

    Wrappers may lie in each other.
    """
    inner = _wrapped(dataset)
    return [one for part in inner for one in inner_datasets(part)] if inner else [dataset]


def group_values(dataset: Any, field: str) -> list[Any]:
    """Value of an annotation field of each item.

    Args:
        dataset: A data set with a method ``group_values``, as `TextVideoDataset` has, or a wrapper
            of such.
        field: The field.

    Raises:
        TypeError: If a data set has no such method.
        KeyError: If an item lacks the field.
    """
    if callable(own := getattr(type(dataset), 'group_values', None)):
        return own(dataset, field)
    wrapped = _wrapped(dataset)
    if not wrapped:
        raise TypeError(
            f'the data set must have a method group_values, as TextVideoDataset does; '
            f'{type(dataset).__name__} has none'
        )
    values = [value for one in wrapped for value in group_values(one, field)]
    for name in ('repeat_indices', 'indices'):  # of ClassBalancedDataset, and of torch's Subset
        if (indices := vars(dataset).get(name)) is not None:
            return [values[index] for index in indices]
    # a RepeatDataset is longer than what it wraps, MMEngine's slice of a data set is shorter
    return [values[index % len(values)] for index in range(len(dataset))]


def _wrapped(dataset: Any) -> list[Any]:
    # not getattr(), which wrappers pass on to what they wrap
    attributes = getattr(dataset, '__dict__', {})
    if 'datasets' in attributes:
        return list(attributes['datasets'])
    return [attributes[name] for name in ('dataset', '_dataset') if name in attributes]
