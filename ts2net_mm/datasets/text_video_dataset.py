"""Videos with their captions, from MMAction2's video-text JSON."""

import logging
import os.path as osp
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from mmaction.datasets.base import BaseActionDataset
from mmaction.datasets.transforms import CLIPTokenize, SampleFrames, UniformSample
from mmaction.registry import DATASETS
from mmengine.logging import print_log

from .annotation import VideoAnnotation, how_to_prepare, load_annotations
from .bad_videos import BadVideoPolicy, OnBadVideo
from .stored_steps import check_frame_stores, reads_folders

__all__ = ['TextVideoDataset', 'group_values', 'inner_datasets']

OnMissing = Literal['error', 'drop']
NAMED_FILES = 5
# set by the data set and its base classes in each item
RESERVED_FIELDS = {
    'bad_videos',
    'filename',
    'modality',
    'sample_idx',
    'start_index',
    'text',
    'video_id',
}


@DATASETS.register_module()
class TextVideoDataset(BaseActionDataset):
    """Pairs of video and caption for training, videos with all their captions for testing.

    The annotation is MMAction2's JSON ``{file name: [captions]}``; a value may also be
    ``{"captions": [...], "start": seconds, "end": seconds}`` with any further fields, which are
    copied into the item. If the pipeline starts with ``FrameFolderInit``, a video is a folder of
    pictures of that name, with or without the extension.

    Args:
        ann_file: Path of the annotation file.
        pipeline: Transforms of an item.
        data_prefix: ``dict(video=folder)`` of the video files.
        test_mode: One item per video with all its captions, so that it is decoded once.
        one_caption_per_video: In training, one item per video with a random caption instead of one
            item per caption.
        on_missing: What to do if video files do not exist: 'error' or 'drop'.
        on_bad_video: What to do if a video cannot be read. In training 'replace' (the default)
            takes another item, always the same for an item and a batch; 'error' stops. In testing
            'error' (the default) stops the test, with ``BadVideosHook`` after the last video and
            with a list of all bad ones; 'skip' excludes them from `TextVideoRetrievalMetric`.
        **kwargs: Arguments of MMEngine's BaseDataset.

    Raises:
        FileNotFoundError: If video files are missing, with their number and the first five.
        ValueError: If the annotation is invalid, naming file and key, or a setting is invalid.
        FrameStoreError: If the frame store of the pipeline lacks videos or frames, holds videos
            that have changed, or was made with other settings.
        UnreadableVideoError: If an item cannot be read, see ``on_bad_video``, nor any substitute.
    """

    # whether a hook collects the records of bad videos; set by BadVideosHook
    bad_videos_watched = False

    def __init__(
        self,
        ann_file: str,
        pipeline: Sequence[dict | Callable],
        data_prefix: dict | None = None,
        test_mode: bool = False,
        *,
        one_caption_per_video: bool = False,
        on_missing: OnMissing = 'error',
        on_bad_video: OnBadVideo | None = None,
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
        self._policy = BadVideoPolicy(on_bad_video, test_mode=test_mode)
        self._steps = list(pipeline)
        self._reads_folders = reads_folders(self._steps)
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
            self._check_annotation(annotation)
        items = [
            dict(
                annotation.fields,
                filename=self._path(annotation.video_id),
                video_id=annotation.video_id,
                text=annotation.captions,
            )
            for annotation in annotations
        ]
        return self._by_caption(self._without_missing(items))

    def _by_caption(self, items: list[dict]) -> list[dict]:
        """Make an item of each caption where a video is not one item."""
        if self.test_mode or self.one_caption_per_video:
            return items
        return [dict(item, text=[caption]) for item in items for caption in item['text']]

    def _check_annotation(self, annotation: VideoAnnotation) -> None:
        """Reject fields that the data set sets itself, and those that the pipeline would ignore."""
        where = f'{self.ann_file}: {annotation.video_id!r}'
        fields, num_captions = annotation.fields, len(annotation.captions)
        if reserved := RESERVED_FIELDS.intersection(fields):
            raise ValueError(
                f'{where} has the fields {sorted(reserved)}, which the data set sets itself'
            )
        has_times = fields.get('start') is not None or fields.get('end') is not None
        for transform in self.pipeline.transforms:
            if has_times and isinstance(transform, SampleFrames | UniformSample):
                raise ValueError(
                    f'{where} has start={fields.get("start")} and end={fields.get("end")}, which '
                    f'{type(transform).__name__} does not read; use SampleFramesByRate'
                )
            if self.test_mode and num_captions > 1 and isinstance(transform, CLIPTokenize):
                raise ValueError(
                    f'{where} has {num_captions} captions, of which CLIPTokenize keeps the first; '
                    "use TokenizeCaptions, or MMAction2's VideoTextDataset, which has one item per "
                    'caption'
                )

    def _path(self, video_id: str) -> str:
        path = osp.join(self.data_prefix['video'], video_id)
        if self._reads_folders:
            return path if osp.isdir(path) else osp.splitext(path)[0]
        # MMAction2's DecordInit reads a name without extension as .mp4
        return path if osp.splitext(path)[1] else path + '.mp4'

    def _without_missing(self, items: list[dict]) -> list[dict]:
        """Return the items whose videos exist as files or in a frame store."""
        paths = {item['video_id']: item['filename'] for item in items}
        stored = check_frame_stores(self._steps, self.pipeline.transforms, paths)
        missing = {
            name for name, path in paths.items() if name not in stored and not osp.exists(path)
        }
        if not missing:
            return items
        first = [item['filename'] for item in items if item['video_id'] in missing][:NAMED_FILES]
        report = (
            f'{self.ann_file}: {len(missing)} of {len(items)} video files are missing, '
            f'the first are {", ".join(first)}'
        )
        if len(missing) == len(items):
            folder = self.data_prefix['video']
            raise FileNotFoundError(
                f'{report}; is {folder!r} the right folder?{how_to_prepare(folder)}'
            )
        if self.on_missing == 'error':
            raise FileNotFoundError(f"{report}; on_missing='drop' skips missing videos")
        print_log(f'{report}; they are skipped', logger='current', level=logging.WARNING)
        return [item for item in items if item['video_id'] not in missing]

    def prepare_data(self, idx: int) -> Any:
        """Process an item, or a substitute if its video cannot be read."""
        return self._policy.read(
            idx, len(self), self.get_data_info, self._process, is_watched=self.bad_videos_watched
        )

    def _process(self, item: dict) -> Any:
        """Draw a caption if there is a choice, then run the pipeline."""
        if self.one_caption_per_video and not self.test_mode:
            item['text'] = [item['text'][np.random.randint(len(item['text']))]]
        item['captions'] = item['text']
        return self.pipeline(item)

    def count_videos(self) -> int:
        """Count the different video files of all items."""
        return len({self.get_data_info(index)['filename'] for index in range(len(self))})

    def group_values(self, field: str = 'video_id') -> list[Any]:
        """Return the value of an annotation field of each item, to group by.

        Raises:
            KeyError: If an item lacks the field.
            TypeError: If its value is a list or an object.
        """
        values = []
        for index in range(len(self)):
            item = self.get_data_info(index)
            if field not in item:
                raise KeyError(f'{self.ann_file}: {item["video_id"]!r} has no field {field!r}')
            if isinstance(item[field], list | dict):
                raise TypeError(
                    f'{self.ann_file}: {field!r} of {item["video_id"]!r} is {item[field]!r:.80}, '
                    'expected one value to group by'
                )
            values.append(item[field])
        return values


def group_values(dataset: Any, field: str) -> list[Any]:
    """Return the value of an annotation field of each item, through MMEngine's wrappers.

    Args:
        dataset: A data set with a method ``group_values``, such as `TextVideoDataset`, or one or
            several of them concatenated, repeated, balanced or cut.
        field: The field.

    Raises:
        TypeError: If a data set has no such method.
        KeyError: If an item lacks the field.
    """
    if callable(own := getattr(type(dataset), 'group_values', None)):
        return own(dataset, field)
    wrapped = _wrapped(dataset)
    if not wrapped:
        raise TypeError(
            f'the data set must have a method group_values, as TextVideoDataset does; '
            f'{type(dataset).__name__} has none'
        )
    values = [value for inner in wrapped for value in group_values(inner, field)]
    for name in ('repeat_indices', 'indices'):  # of ClassBalancedDataset, and of torch's Subset
        if (indices := vars(dataset).get(name)) is not None:
            return [values[index] for index in indices]
    # a RepeatDataset is longer than what it wraps, MMEngine's slice of a data set is shorter
    return [values[index % len(values)] for index in range(len(dataset))]


def inner_datasets(dataset: Any) -> list[Any]:
    """List the data sets inside MMEngine's (nested) wrappers, or the data set itself."""
    wrapped = _wrapped(dataset)
    if not wrapped:
        return [dataset]
    return [inner for part in wrapped for inner in inner_datasets(part)]


def _wrapped(dataset: Any) -> list[Any]:
    # not getattr(), which wrappers pass on to what they wrap
    attributes = getattr(dataset, '__dict__', {})
    if 'datasets' in attributes:
        return list(attributes['datasets'])
    return [attributes[name] for name in ('dataset', '_dataset') if name in attributes]
