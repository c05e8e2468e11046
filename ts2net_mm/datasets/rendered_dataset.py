"""Rendered videos that are drawn when they are needed, without files."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmaction.registry import DATASETS, TRANSFORMS
from mmcv.transforms import BaseTransform

from ..rendered import SPLITS, rendered_set
from .text_video_dataset import TextVideoDataset

__all__ = ['DrawVideo', 'RenderedVideoDataset']


@DATASETS.register_module()
class RenderedVideoDataset(TextVideoDataset):
    """The videos that ``tools/data/<set>/render.py`` would write, with the same seed.

    They are drawn when an item is read, so that there may be as many as a training has steps. Files
    of render.py differ by their compression alone. The pipeline begins with `DrawVideo`.

    Args:
        rendered: ``dict(name=..., **difficulty)`` of the data set, see
            `ts2net_mm.rendered.rendered_set`.
        split: 'train', 'val' or 'test'.
        num_train_videos: Videos of the training split.
        seed: Source of the splits, captions and scenes.
        **kwargs: Arguments of `TextVideoDataset` but those of files.

    Raises:
        ValueError: If the data set, the split or a setting is unknown.
    """

    def __init__(
        self,
        *,
        rendered: Mapping[str, Any],
        split: str = 'train',
        num_train_videos: int = 2560,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f'split={split!r} is unknown, choose one of {SPLITS}')
        data_set = rendered_set(**rendered)
        self._videos = data_set.plan_videos(seed, num_train_videos)[split]
        self._fps = data_set.fps
        super().__init__('', **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the planned videos."""
        items = []
        for number, video in enumerate(self._videos):
            fields = video.annotation
            captions = fields.pop('captions')
            own = dict(filename=video.name, video_id=video.name, number=number, fps=self._fps)
            items.append(dict(fields, **own, text=captions))
        return self._by_caption(items)

    def _process(self, item: dict) -> Any:
        """Add the planned video, then proceed as ever."""
        return super()._process(dict(item, video=self._videos[item['number']]))


@TRANSFORMS.register_module()
class DrawVideo(BaseTransform):
    """Draw a video of a `RenderedVideoDataset`; `VideoDecode` takes the sampled frames of it.

    Required keys: video (removed), fps. Added keys: video_reader, total_frames, avg_fps.
    """

    def transform(self, results: dict) -> dict:
        """Draw the video of an item."""
        frames = _Frames(results.pop('video').draw())
        results['video_reader'] = frames
        results['total_frames'] = len(frames)
        results['avg_fps'] = float(results['fps'])
        return results

    def __repr__(self) -> str:
        """Show the name."""
        return f'{type(self).__name__}()'


class _Frames:
    """Frames of a video as a reader gives them."""

    def __init__(self, frames: np.ndarray) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def get_batch(self, numbers: np.ndarray) -> '_Frames':
        """Choose frames."""
        return _Frames(np.ascontiguousarray(self._frames[numbers]))

    def asnumpy(self) -> np.ndarray:
        """Return the frames: (T, H, W, 3), uint8, RGB."""
        return self._frames
