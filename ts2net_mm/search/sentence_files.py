"""Read the sentences of a query bank, and those that validate a calibration."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from ..datasets.annotation import load_annotations
from ..evaluation.query_bank import QueryBank, QueryBankOptions, draw
from ..utils.text import has_words, printable
from .validation import ValidationSet
from .view import StoredVideo, View

__all__ = ['find_right_videos', 'read_bank']


def read_bank(path: str | Path, num_queries: int) -> list[str]:
    """Read the sentences of a query bank.

    Args:
        path: A text with a sentence in each line, or an annotation file (``.json``), MMAction2's
            video-text JSON, of which only the captions count.
        num_queries: Most sentences; of more, these are drawn, always the same.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds no sentence, a sentence has no word, or it is no annotation.
    """
    if Path(path).suffix == '.json':
        options = QueryBankOptions(ann_file=str(path), num_queries=num_queries)
        sentences = QueryBank.from_annotations(options).captions
    else:
        try:
            lines = Path(path).read_text(encoding='utf-8-sig').splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f'{path} is not a text in UTF-8: {error.reason}') from error
        sentences = draw([line.strip() for line in lines if line.strip()], num_queries)
    if not sentences:
        raise ValueError(f'{path} holds no sentence, expected one in each line')
    for text in sentences:
        if not has_words(text):
            raise ValueError(f'{path}: the sentence {text!r} has no word')
    return sentences


def find_right_videos(view: View, path: str | Path, num_queries: int) -> ValidationSet:
    """Find the videos of an annotation in an index, by the ends of their paths.

    A caption of several videos is one sentence, and all of them are right.

    Args:
        view: The videos of the index.
        path: Annotation file, MMAction2's video-text JSON.
        num_queries: Most sentences; of more, these are drawn, always the same.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no annotation, none of its videos is in the index, or a name may be
            that of several.
    """
    videos_of_name: dict[str, list[StoredVideo]] = defaultdict(list)
    for video in view.encoded_videos():
        videos_of_name[os.path.basename(video.path)].append(video)
    right: dict[str, list[int]] = defaultdict(list)
    missing = []
    for annotation in load_annotations(path):
        name = os.path.normpath(annotation.video_id)
        if not os.path.splitext(name)[1]:
            name += '.mp4'  # as TextVideoDataset reads it
        videos = videos_of_name.get(os.path.basename(name), [])
        found = [video for video in videos if video.path.endswith(os.path.join('/', name))]
        if len(found) > 1:
            paths = ' and '.join(printable(video.path) for video in found[:2])
            raise ValueError(f'{path}: {annotation.video_id!r} may be {paths}')
        if not found:
            missing.append(annotation.video_id)
            continue
        for caption in dict.fromkeys(annotation.captions):
            right[caption].append(found[0].number)
    if not right:
        raise ValueError(
            f'none of the {len(missing)} videos of {path} is in the index, the first is '
            f'{missing[0]!r}'
        )
    return ValidationSet(Path(path).name, dict(draw(list(right.items()), num_queries)), missing)
