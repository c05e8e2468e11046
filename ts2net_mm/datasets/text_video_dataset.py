"""Videos with their captions, from MMAction2's video-text JSON."""

import logging
import os.path as osp
from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
from mmaction.datasets.base import BaseActionDataset
from mmaction.registry import DATASETS
from mmengine.logging import print_log

from ..video.errors import (
    DECODING_ERRORS,
    DecoderEndedError,
    UnreadableVideoError,
    unreadable_reason,
)
from .annotation import load_annotations
from .bad_videos import (
    BadVideo,
    OnBadVideo,
    attach_bad_videos,
    check_on_bad_video,
    random_state_kept_on_error,
)
from .missing_videos import OnMissing, leave_out_missing
from .samplers.substitutes import ItemNumber
from .stored_steps import check_frame_stores, reads_folders
from .transforms.sample_frames import reject_unread_times
from .transforms.tokenize_captions import reject_lost_captions

__all__ = ['TextVideoDataset']

MAX_SUBSTITUTES = 10
# what the data set and its base classes put into an item
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
    ``{"captions": [...], "start": seconds, "end": seconds}`` with any further fields, which travel
    with the item. Where the pipeline begins with ``FrameFolderInit``, a video is a folder of
    pictures of that name, with or without the extension.

    Args:
        ann_file: Path of the annotation file.
        pipeline: Transforms of an item.
        data_prefix: ``dict(video=folder)`` of the video files.
        test_mode: One item a video with all its captions, so that it is decoded once.
        one_caption_per_video: In training, one item a video with a random caption instead of one
            item a caption.
        on_missing: What happens when video files do not exist: 'error' or 'drop'.
        on_bad_video: What happens when a video cannot be read. In training 'replace' (the default)
            takes another item, always the same for an item and a batch; 'error' stops. In testing
            'error' (the default) stops the test, after all videos if ``BadVideosHook`` is there, so
            that it lists all of them; 'skip' leaves them out of `TextVideoRetrievalMetric`.
        **kwargs: Arguments of MMEngine's BaseDataset.

    Raises:
        FileNotFoundError: If video files are missing, with their number and the first five.
        ValueError: If the annotation is not what it should be, naming file and key, or
            a setting makes no sense.
        FrameStoreError: If the pipeline reads a frame store that does not hold the videos as they
            are, or was made with other settings.
        UnreadableVideoError: If an item cannot be read, see ``on_bad_video``, or no other can take
            its place.
    """

    # whether somebody collects the records of bad videos; BadVideosHook sets it
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
        self.on_bad_video = check_on_bad_video(on_bad_video, test_mode)
        self._gave_up: dict[str, str] = {}
        self._named: set[str] = set()
        self.one_caption_per_video = one_caption_per_video
        self.on_missing = on_missing
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
            if reserved := RESERVED_FIELDS.intersection(annotation.fields):
                raise ValueError(
                    f'{self.ann_file}: {annotation.video_id!r} has the fields {sorted(reserved)}, '
                    'whose names are taken by the data set'
                )
        reject_unread_times(self.ann_file, annotations, self.pipeline.transforms)
        if self.test_mode:
            reject_lost_captions(self.ann_file, annotations, self.pipeline.transforms)
        paths = {one.video_id: self._path(one.video_id) for one in annotations}
        existing = leave_out_missing(
            annotations,
            paths=paths,
            stored=check_frame_stores(self._steps, self.pipeline.transforms, paths),
            ann_file=self.ann_file,
            folder=self.data_prefix['video'],
            on_missing=self.on_missing,
        )
        items = [
            dict(
                annotation.fields,
                filename=self._path(annotation.video_id),
                video_id=annotation.video_id,
                text=annotation.captions,
            )
            for annotation in existing
        ]
        if self.test_mode or self.one_caption_per_video:
            return items
        return [dict(item, text=[caption]) for item in items for caption in item['text']]

    def prepare_data(self, idx: int) -> Any:
        """Process an item, or what stands in for it where its video cannot be read."""
        try:
            return self._process(self.get_data_info(idx))
        except UnreadableVideoError as error:
            collected = self.test_mode and self.bad_videos_watched
            if self.on_bad_video == 'error' and not collected:
                raise
            return self._stand_in(idx, error)

    def _process(self, item: dict) -> Any:
        """Draw a caption where one is due, then run the pipeline."""
        filename = item['filename']
        if filename in self._gave_up:
            raise UnreadableVideoError.of(filename, self._gave_up[filename])
        with random_state_kept_on_error():
            if self.one_caption_per_video and not self.test_mode:
                item['text'] = [item['text'][np.random.randint(len(item['text']))]]
            item['captions'] = item['text']
            try:
                return self.pipeline(item)
            except UnreadableVideoError:
                raise
            except DECODING_ERRORS as error:
                reason = unreadable_reason(filename, error)
                if isinstance(error, DecoderEndedError):
                    self._gave_up[filename] = reason  # not to wait for it again
                raise UnreadableVideoError.of(filename, reason) from error

    def _stand_in(self, idx: int, error: UnreadableVideoError) -> Any:
        """Process another item; in testing it bears the name and the captions of the bad one."""
        item = self.get_data_info(idx)
        bad = [self._record(item, error)]
        for number in self._substitutes(idx):
            other = self.get_data_info(number)
            if other['filename'] in {video.filename for video in bad}:
                continue
            if self.test_mode:
                other |= dict(video_id=item['video_id'], text=item['text'])
            try:
                result = self._process(other)
            except UnreadableVideoError as another:
                bad.append(self._record(other, another))
                if len(bad) > MAX_SUBSTITUTES:
                    break
            else:
                # the others of a test have their own turns
                return self._mark(result, bad[:1] if self.test_mode else bad)
        tried = '; '.join(f'{video.filename}: {video.reason}' for video in bad[1:])
        if tried:
            raise UnreadableVideoError(f'{error}; nor those tried in its place: {tried}') from error
        if isinstance(idx, ItemNumber):
            raise UnreadableVideoError(f'{error}; no other video fits into its batch') from error
        raise error

    def _mark(self, result: Any, bad: list[BadVideo]) -> Any:
        """Attach the records, and name the videos here if nobody else will."""
        if self.on_bad_video == 'replace' and not self.bad_videos_watched:
            for video in bad:
                if video.filename not in self._named:
                    self._named.add(video.filename)
                    message = f'cannot read video {video.filename}: {video.reason}; replaced'
                    print_log(message, logger='current', level=logging.WARNING)
        return attach_bad_videos(result, bad)

    def _record(self, item: dict, error: UnreadableVideoError) -> BadVideo:
        return BadVideo(
            video_id=item['video_id'],
            filename=item['filename'],
            reason=error.reason,
            num_texts=len(item['text']),
            skip=self.on_bad_video == 'skip',
        )

    def _substitutes(self, idx: int) -> list[int]:
        """Items to try instead, a function of the item's number, or what the sampler allows."""
        if isinstance(idx, ItemNumber):
            # those of other data sets in a ConcatDataset cannot be reached from here
            return [number for number in idx.substitutes if 0 <= number < len(self)]
        rng = np.random.default_rng((len(self), idx % len(self)))
        return rng.permutation(len(self)).tolist()

    def count_videos(self) -> int:
        """Count the different video files of all items."""
        return len({self.get_data_info(index)['filename'] for index in range(len(self))})

    def group_values(self, field: str = 'video_id') -> list[Any]:
        """Value of an annotation field of each item, to group by.

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

    def _path(self, video_id: str) -> str:
        path = osp.join(self.data_prefix['video'], video_id)
        if self._reads_folders:
            return path if osp.isdir(path) else osp.splitext(path)[0]
        # MMAction2's DecordInit reads a name without extension as .mp4
        return path if osp.splitext(path)[1] else path + '.mp4'
