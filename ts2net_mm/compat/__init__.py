"""What the accepted versions of the OpenMMLab libraries need before they can be used."""

from .checkpoints import allow_mmengine_checkpoints
from .hooks import extend_hooks
from .mmaction_wheel import mend_mmaction
from .multimodal import leave_out_multimodal
from .quiet import quiet_imports
from .versions import check_versions

__all__ = [
    'allow_mmengine_checkpoints',
    'check_versions',
    'extend_hooks',
    'leave_out_multimodal',
    'mend_mmaction',
    'quiet_imports',
]
