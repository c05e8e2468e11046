"""CLIP's own resizing."""

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

__all__ = ['CLIPResize']


@TRANSFORMS.register_module()
class CLIPResize(BaseTransform):
    """Resize the shorter side with an antialiased bicubic filter and crop the centre, as CLIP does.

    These are the pixels that CLIP was trained on. MMAction2's ``Resize`` and ``CenterCrop`` do the
    same with OpenCV, which does not antialias: docs/evidence/pixels.md says how far apart they are.

    Required key: imgs, a list of (H, W, 3) uint8. Modified keys: imgs, img_shape.

    Args:
        size: Height and width of the result, pixels; without the crop, its shorter side.
        crop: Whether to crop.
    """

    def __init__(self, *, size: int = 224, crop: bool = True) -> None:
        self.size = size
        self.crop = crop

    def transform(self, results: dict) -> dict:
        """Resize and crop every frame."""
        results['imgs'] = [self._resize(frame) for frame in results['imgs']]
        results['img_shape'] = results['imgs'][0].shape[:2]
        return results

    def _resize(self, frame: np.ndarray) -> np.ndarray:
        image = F.resize(F.to_pil_image(frame), self.size, InterpolationMode.BICUBIC)
        return np.asarray(F.center_crop(image, self.size) if self.crop else image)

    def __repr__(self) -> str:
        """Show the settings."""
        crop = '' if self.crop else ', crop=False'
        return f'{type(self).__name__}(size={self.size}{crop})'
