"""How strongly candidates attract the queries of a bank: the arithmetic of QB-Norm, NumPy alone."""

from collections.abc import Iterable

import numpy as np

__all__ = [
    'INVERSE_TEMPERATURE',
    'TOPK',
    'check_count',
    'check_inverse_temperature',
    'check_settings',
    'soft_maximum',
]

# Defaults of the authors' code, https://github.com/ioanacroi/qb-norm
INVERSE_TEMPERATURE = 20.0
TOPK = 1


def check_settings(inverse_temperature: float, topk: int) -> None:
    """Raise if a setting of QB-Norm is out of range.

    Args:
        inverse_temperature: Factor on the scores inside the exponential.
        topk: How many best videos of a bank query are hub candidates.

    Raises:
        ValueError: If one is.
    """
    check_inverse_temperature(inverse_temperature)
    check_count('topk', topk)


def check_inverse_temperature(value: float) -> None:
    """Raise ValueError if the inverse temperature of a normalisation is no positive number."""
    if not isinstance(value, int | float) or not 0 < value < float('inf'):
        raise ValueError(f'inverse_temperature={value!r} must be a positive number')


def check_count(name: str, value: int) -> None:
    """Raise ValueError if a setting is no whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f'{name}={value!r} must be a whole number of at least 1')


def soft_maximum(blocks: Iterable[np.ndarray], inverse_temperature: float) -> np.ndarray:
    """Compute log(sum(exp(b * scores))) / b over all rows, in double precision.

    Args:
        blocks: Finite scores of some queries of the bank, one block after the other; at least one.
        inverse_temperature: The b, above 0.

    Shape:
        blocks: (rows, M) each -> (M,)

    Example:
        >>> import numpy as np
        >>> scores = np.array([[0.5, 0.1], [0.5, 0.3]])  # two queries, two videos
        >>> soft_maximum([scores], 20.0).round(3).tolist()  # a little above the largest
        [0.535, 0.301]
    """
    top, total = np.float64(-np.inf), np.float64(0)
    for block in blocks:
        raised = np.maximum(top, block.max(axis=0).astype(np.float64))
        total = total * np.exp(inverse_temperature * (top - raised))
        total = total + np.exp(inverse_temperature * (block - raised)).sum(axis=0)
        top = raised
    return top + np.log(total) / inverse_temperature
