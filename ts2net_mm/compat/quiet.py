"""The one warning that importing the OpenMMLab libraries gives on a sound installation."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

# mmcv.cnn.bricks.transformer gives it under mmcv-lite. Nothing here uses that compiled operator.
_MMCV_LITE_MESSAGE = 'Fail to import ``MultiScaleDeformableAttention``'


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Hide mmcv-lite's warning about its missing operators; any other warning is shown.

    Filters which the modules imported inside install stay in force afterwards.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message=_MMCV_LITE_MESSAGE, category=UserWarning)
        known = list(warnings.filters)
        try:
            yield
        finally:
            added = [entry for entry in warnings.filters if entry not in known]
    cast(list[Any], warnings.filters)[:0] = added
