"""Videos with their captions, from MMAction2's video-text JSON."""

import logging
import os.path as osp
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from mmaction.datasets.base import BaseActionDataset
from mmaction.registry import DATASETS
from mmengine.logging import print_log

from .annotation import VideoAnnotation, load_annotations
from .video_errors import DECODING_ERRORS, UnreadableVideoError, unreadable_reason

__all__ = ['TextVideoDataset']

OnMissing = Literal['error', 'drop']
NAMED_FILES = 5
# what the data set and its base classes put into an item
RESERVED_FIELDS = {'filename', 'modality', 'sample_idx', 'start_index', 'text', 'video_id'}


@DATASETS.register_module()
class TextVideoDataset(BaseActionDataset):
    """Pairs of video and caption for training, videos with all their captions for testing.

    The annotation is MMAction2's JSON ``{file name: [captions]}``; a value may also be
    ``{"captions": [...], "start": seconds, "end": seconds}`` with any further fields, which travel
    with the item.

    Args:
        ann_file: Path of the annotation file.
        pipeline: Transforms of an item.
        data_prefix: ``dict(video=folder)`` of the video files.
        test_mode: One item a video with all its captions, so that it is decoded once.
        one_caption_per_video: In training, one item a video with a random caption instead of one
            item a caption.
        on_missing: What happens when video files do not exist: 'error' or 'drop'.
        **kwargs: Arguments of MMEngine's BaseDataset.

    Raises:
        FileNotFoundError: If video files are missing, with their number and the first five.
        ValueError: If the annotation is not what it should be, naming file and key, or
            ``data_prefix`` has no video folder.
    """

    def __init__(
        self,
        *,
        ann_file: str,
        pipeline: Sequence[dict | Callable],
        data_prefix: dict | None = None,
        test_mode: bool = False,
        one_caption_per_video: bool = False,
        on_missing: OnMissing = 'error',
        **kwargs: Any,
    ) -> None:
        if on_missing not in get_args(OnMissing):
            raise ValueError(
                f'on_missing={on_missing!r} is unknown, choose one of {get_args(OnMissing)}'
            )
        data_prefix = data_prefix or dict(video='')
        if 'video' not in data_prefix:
            raise ValueError(f"data_prefix={data_prefix} lacks 'video', the folder of the videos")
        self.one_caption_per_video = one_caption_per_video
        self.on_missing = on_missing
        super().__init__(
            ann_file,
            pipeline=list(pipeline),
            data_prefix=data_prefix,
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Read the annotation and check that the videos exist."""
        annotations = load_annotations(self.ann_file)
        for annotation in annotations:
            if reserved := RESERVED_FIELDS.intersection(annotation.fields):
                raise ValueError(
                    f'{self.ann_file}: {annotation.video_id!r} has the fields {sorted(reserved)}, '
                    'whose names are taken by the data set'
                )
        items = [
            dict(
                annotation.fields,
                filename=self._path(annotation.video_id),
                video_id=annotation.video_id,
                text=annotation.captions,
            )
            for annotation in self._existing(annotations)
        ]
        if self.test_mode or self.one_caption_per_video:
            return items
        return [dict(item, text=[caption]) for item in items for caption in item['text']]

    def prepare_data(self, idx: int) -> Any:
        """Draw a caption where one is due, then run the pipeline."""
        item = self.get_data_info(idx)
        if self.one_caption_per_video and not self.test_mode:
            item['text'] = [item['text'][np.random.randint(len(item['text']))]]
        item['captions'] = item['text']
        try:
            return self.pipeline(item)
        except UnreadableVideoError:
            raise
        except DECODING_ERRORS as error:
            reason = unreadable_reason(item['filename'], error)
            raise UnreadableVideoError(f'cannot read video {item["filename"]}: {reason}') from error

    def group_ids(self, field: str = 'video_id') -> np.ndarray:
        """Number the items by the value of an annotation field: (items,) int64.

        Raises:
            KeyError: If an item lacks the field.
            TypeError: If its value is a list or an object.
        """
        numbers: dict[Any, int] = {}
        groups = np.empty(len(self), dtype=np.int64)
        for index in range(len(self)):
            item = self.get_data_info(index)
            if field not in item:
                raise KeyError(f'{self.ann_file}: {item["video_id"]!r} has no field {field!r}')
            if isinstance(item[field], list | dict):
                raise TypeError(
                    f'{self.ann_file}: {field!r} of {item["video_id"]!r} is {item[field]!r:.80}, '
                    'expected one value to group by'
                )
            groups[index] = numbers.setdefault(item[field], len(numbers))
        return groups

    def _path(self, video_id: str) -> str:
        path = osp.join(self.data_prefix['video'], video_id)
        # MMAction2's DecordInit reads a name without extension as .mp4
        return path if osp.splitext(path)[1] else path + '.mp4'

    def _existing(self, annotations: list[VideoAnnotation]) -> list[VideoAnnotation]:
        missing = [a for a in annotations if not osp.exists(self._path(a.video_id))]
        if not missing:
            return annotations
        names = ', '.join(self._path(a.video_id) for a in missing[:NAMED_FILES])
        report = (
            f'{self.ann_file}: {len(missing)} of {len(annotations)} video files are missing, '
            f'the first are {names}'
        )
        if len(missing) == len(annotations):
            raise FileNotFoundError(f'{report}; is {self.data_prefix["video"]!r} the right folder?')
        if self.on_missing == 'error':
            raise FileNotFoundError(f"{report}; on_missing='drop' leaves missing videos out")
        print_log(f'{report}; they are left out', logger='current', level=logging.WARNING)
        gone = {a.video_id for a in missing}
        return [a for a in annotations if a.video_id not in gone]
