"""The one warning that importing the OpenMMLab libraries gives on a sound installation."""

import warnings

# mmcv.cnn.bricks.transformer gives it under mmcv-lite. Nothing here uses that compiled operator.
_MMCV_LITE_MESSAGE = 'Fail to import ``MultiScaleDeformableAttention``'


def quiet_imports() -> None:
    """Hide mmcv-lite's warning about its missing operators; any other warning is shown."""
    warnings.filterwarnings('ignore', message=_MMCV_LITE_MESSAGE, category=UserWarning)
