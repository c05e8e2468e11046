"""What CLIP was trained on: its resized pixels and its caption tokens."""

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

__all__ = ['CLIPResize', 'TokenizeCaptions']


@TRANSFORMS.register_module()
class CLIPResize(BaseTransform):
    """Resize the shorter side with an antialiased bicubic filter and crop the centre, as CLIP does.

    MMAction2's ``Resize`` and ``CenterCrop`` use OpenCV, which does not antialias;
    docs/evidence/pixels.md has the difference in pixels.

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


@TRANSFORMS.register_module()
class TokenizeCaptions(BaseTransform):
    """Turn captions into token ids with CLIP's byte-pair encoding.

    Longer captions are truncated but keep the end-of-text token. An empty caption becomes the start
    and the end token, as in the released code; annotations with empty captions are rejected before.

    Required keys: text (a list of sentences, or a single sentence). Modified key: text,
    (C, max_words) int64, padded with 0.

    Args:
        max_words: Tokens of a caption, start and end included; 32 in the paper, 64 for paragraphs.

    Raises:
        ValueError: If ``max_words`` leaves no room for a word.
        TypeError: If a caption is not a string.
    """

    def __init__(self, *, max_words: int = 32) -> None:
        if max_words < 3:
            raise ValueError(f'max_words={max_words} leaves no room between start and end token')
        # imported here because open_clip imports all its models beside the tokenizer
        from open_clip.tokenizer import SimpleTokenizer

        self.max_words = max_words
        self.tokenizer = SimpleTokenizer(context_length=max_words)

    def transform(self, results: dict) -> dict:
        """Tokenize the captions of an item."""
        captions = results['text']
        if isinstance(captions, str):
            captions = [captions]
        for caption in captions:
            if not isinstance(caption, str):
                raise TypeError(f'a caption must be a string, found {caption!r}')
        results['text'] = self.tokenizer(captions)
        return results

    def count_tokens(self, caption: str) -> int:
        """Count the tokens of a caption before truncation, start and end included."""
        return len(self.tokenizer.encode(caption)) + 2

    def __repr__(self) -> str:
        """Show the settings."""
        return f'{type(self).__name__}(max_words={self.max_words})'
