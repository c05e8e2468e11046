"""Stack, normalise and mask a batch of videos and sentences on the device."""

from collections.abc import Sequence

import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS

__all__ = ['TextVideoDataPreprocessor']

# of pixels from 0 to 255
CLIP_MEAN = tuple(255 * mean for mean in (0.48145466, 0.4578275, 0.40821073))
CLIP_STD = tuple(255 * std for std in (0.26862954, 0.26130258, 0.27577711))


@MODELS.register_module()
class TextVideoDataPreprocessor(ActionDataPreprocessor):
    """MMAction2's frame preprocessor, for videos with any number of sentences.

    Frames are normalised by ``mean`` and ``std``, frames beyond the end of a short video become
    exactly 0, and the sentences of all videos are concatenated. In a batch without ``frame_mask``
    (uniform sampling) all frames are valid.

    Args:
        mean: Mean of each channel, 0 to 255; CLIP's by default.
        std: Standard deviation of each channel, 0 to 255; CLIP's by default.

    Shape:
        - imgs: B x (T, 3, H, W) -> (B, T, 3, H, W) float
        - text: B x (C, L) or B x (L,) -> (sum of C, L) int64
        - frame_mask: B x (T,) bool -> (B, T) bool
        - num_captions: added, the list of C
    """

    def __init__(
        self, *, mean: Sequence[float] = CLIP_MEAN, std: Sequence[float] = CLIP_STD
    ) -> None:
        super().__init__(mean=mean, std=std)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare one batch of the data loader."""
        data = self.cast_data(data)
        inputs, data_samples = dict(data['inputs']), data.get('data_samples')
        imgs, data_samples = self.preprocess(inputs['imgs'], data_samples, training)
        if 'frame_mask' in inputs:
            frame_mask = torch.stack(tuple(inputs['frame_mask'])).bool()
            # after the normalisation, which turns black padding into other values
            imgs.mul_(frame_mask[:, :, None, None, None])
        else:
            frame_mask = imgs.new_ones(imgs.shape[:2], dtype=torch.bool)
        batch = dict(imgs=imgs, frame_mask=frame_mask)
        if 'text' in inputs:
            # MMAction2's CLIPTokenize returns a single sentence per item, (L,)
            texts = [torch.atleast_2d(text) for text in inputs['text']]
            batch['text'] = torch.cat(texts)
            batch['num_captions'] = [len(text) for text in texts]
        return dict(inputs=batch, data_samples=data_samples)
