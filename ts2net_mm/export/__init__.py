"""Models in other runtimes: ONNX files of the encoders, and search without torch."""

from .description import video_shape
from .encoders import VideoShape
from .onnx_export import export_onnx
from .parity import measure_parity

__all__ = ['VideoShape', 'export_onnx', 'measure_parity', 'video_shape']
