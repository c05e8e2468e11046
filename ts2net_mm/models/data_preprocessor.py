"""Stack, normalise and mask a batch of videos and sentences on the device."""

import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.registry import MODELS

__all__ = ['TextVideoDataPreprocessor']


@MODELS.register_module()
class TextVideoDataPreprocessor(ActionDataPreprocessor):
    """MMAction2's frame preprocessor, for videos with any number of sentences.

    Frames are normalised by ``mean`` and ``std``, frames beyond the end of a short video become
    exactly 0, and the sentences of all videos are put one below the other. A batch without
    ``frame_mask`` (uniform sampling) is valid throughout.

    Shape:
        - imgs: B x (T, 3, H, W) -> (B, T, 3, H, W) float
        - text: B x (C, L) -> (sum of C, L) int64
        - frame_mask: B x (T,) bool -> (B, T) bool
        - num_captions: added, the list of C
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare one batch of the data loader."""
        data = self.cast_data(data)
        inputs, data_samples = dict(data['inputs']), data.get('data_samples')
        imgs, data_samples = self.preprocess(inputs['imgs'], data_samples, training)
        if 'frame_mask' in inputs:
            frame_mask = torch.stack(tuple(inputs['frame_mask'])).bool()
            imgs = imgs * frame_mask[:, :, None, None, None]
        else:
            frame_mask = imgs.new_ones(imgs.shape[:2], dtype=torch.bool)
        batch = dict(imgs=imgs, frame_mask=frame_mask)
        if 'text' in inputs:
            batch['text'] = torch.cat(tuple(inputs['text']))
            batch['num_captions'] = [len(text) for text in inputs['text']]
        return dict(inputs=batch, data_samples=data_samples)
