"""CLIP's tokens of all captions of an item."""

from collections.abc import Sequence
from typing import Any

from mmaction.datasets.transforms import CLIPTokenize
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..annotation import VideoAnnotation

__all__ = ['TokenizeCaptions', 'reject_lost_captions']


@TRANSFORMS.register_module()
class TokenizeCaptions(BaseTransform):
    """Turn captions into token ids with CLIP's byte-pair encoding.

    Longer captions are cut, the end-of-text token stays. An empty caption becomes the start and the
    end token, as in the release; the data set lets none come here.

    Required keys: text (a list of sentences, or one). Modified key: text, (C, max_words) int64,
    padded with 0.

    Args:
        max_words: Tokens of a caption, start and end included; 32 in the paper, 64 for paragraphs.

    Raises:
        ValueError: If ``max_words`` leaves no room for a word.
        TypeError: If a caption is no string.
    """

    def __init__(self, *, max_words: int = 32) -> None:
        if max_words < 3:
            raise ValueError(f'max_words={max_words} leaves no room between start and end token')
        # here, because open_clip imports all its models beside the tokenizer
        from open_clip.tokenizer import SimpleTokenizer

        self.max_words = max_words
        self.tokenizer = SimpleTokenizer(context_length=max_words)

    def transform(self, results: dict) -> dict:
        """Tokenize the captions of one item."""
        captions = results['text']
        if isinstance(captions, str):
            captions = [captions]
        for caption in captions:
            if not isinstance(caption, str):
                raise TypeError(f'a caption must be a string, found {caption!r}')
        results['text'] = self.tokenizer(captions)
        return results

    def count_tokens(self, caption: str) -> int:
        """Number of tokens of a caption before it is cut, start and end included."""
        return len(self.tokenizer.encode(caption)) + 2

    def __repr__(self) -> str:
        """Show the settings."""
        return f'{type(self).__name__}(max_words={self.max_words})'


def reject_lost_captions(
    ann_file: str, annotations: Sequence[VideoAnnotation], transforms: Sequence[Any]
) -> None:
    """Refuse several captions of an item where MMAction2's transform would keep the first alone.

    Raises:
        ValueError: If the pipeline has ``CLIPTokenize`` and a video more than one caption.
    """
    if not any(isinstance(transform, CLIPTokenize) for transform in transforms):
        return
    for annotation in annotations:
        if (found := len(annotation.captions)) > 1:
            raise ValueError(
                f'{ann_file}: {annotation.video_id!r} has {found} captions, of which CLIPTokenize '
                "keeps the first; use TokenizeCaptions, or MMAction2's VideoTextDataset, which has "
                'an item a caption'
            )
