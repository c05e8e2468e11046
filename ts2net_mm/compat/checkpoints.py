"""Resume from MMEngine's own checkpoints under torch's restricted loading."""

from pickle import UnpicklingError
from types import ModuleType
from typing import Any

from .when_imported import when_imported

# HistoryBuffer pickles references to its statistics, each as getattr(HistoryBuffer, name).
_STATISTICS = ('min', 'max', 'current', 'mean')


def allow_mmengine_checkpoints() -> None:
    """Make ``torch.load(weights_only=True)``, torch's default, accept what MMEngine's Runner saves.

    Besides tensors and plain Python values that is the message hub: ``HistoryBuffer`` (numpy
    arrays and references to its own statistics) and numpy scalars such as the best score. Nothing
    else is allowed; in place of ``getattr`` stands a function that hands out these statistics only.
    Takes effect when MMEngine is imported; may be called any number of times.
    """
    when_imported('mmengine.logging.history_buffer', _allow)


def _allow(history: ModuleType) -> None:
    import numpy as np
    import torch

    reconstruct = np.zeros(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [history.HistoryBuffer, np.ndarray, np.dtype]
    allowed += [type(np.dtype(name)) for name in ('float64', 'float32', 'int64')]
    allowed.append((_history_statistic, 'builtins.getattr'))
    # numpy 2 renamed the module, and a run may go on under another numpy than it began with.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed += [(reconstruct, f'{module}._reconstruct'), (scalar, f'{module}.scalar')]
    torch.serialization.add_safe_globals(allowed)


def _history_statistic(owner: Any, name: str) -> Any:
    """Stand in for ``getattr`` in a checkpoint.

    Raises:
        pickle.UnpicklingError: Anything but a statistic of HistoryBuffer is asked for.
    """
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnpicklingError(
            f'the file asks for attribute {name!r} of {owner!r}, which MMEngine never saves'
        )
    return getattr(HistoryBuffer, name)
