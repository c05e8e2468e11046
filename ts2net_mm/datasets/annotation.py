"""Read and check MMAction2's video-text JSON."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ['VideoAnnotation', 'load_annotations']


@dataclass(frozen=True)
class VideoAnnotation:
    """Captions of one video and all else its annotation says (``start``, ``end`` in seconds)."""

    video_id: str
    captions: list[str]
    fields: dict[str, Any] = field(default_factory=dict)


def load_annotations(path: str | Path) -> list[VideoAnnotation]:
    """Read ``{file name: [captions]}`` or ``{file name: {"captions": [...], ...}}``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no such JSON, names a video twice, or a caption is empty or no string;
            the message names file and key.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'annotation file {path} does not exist')
    try:
        pairs = json.loads(Path(path).read_text(encoding='utf-8'), object_pairs_hook=_Pairs)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is no valid JSON: {error}') from error
    if not isinstance(pairs, _Pairs):
        raise ValueError(
            f'{path} holds a {type(pairs).__name__}, expected an object {{file name: [captions]}}'
        )
    if not pairs:
        raise ValueError(f'{path} names no videos')
    repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if repeated:
        raise ValueError(f'{path} names {len(repeated)} videos twice, the first is {repeated[0]!r}')
    return [_parse_video(path, name, value) for name, value in pairs]


class _Pairs(list):
    """A JSON object as a list, which keeps repeated names."""


def _parse_video(path: str | Path, name: str, value: Any) -> VideoAnnotation:
    where = f'{path}: {name!r}'
    fields = {}
    if isinstance(value, _Pairs):
        fields = dict(value)
        value = fields.pop('captions', None)
    if not isinstance(value, list) or isinstance(value, _Pairs) or not value:
        raise ValueError(f'{where} has no captions, expected a list of sentences')
    for number, caption in enumerate(value):
        if not isinstance(caption, str):
            raise ValueError(f'{where}: caption {number} is {caption!r}, expected a string')
        if not caption.strip():
            raise ValueError(f'{where}: caption {number} is empty')
    _check_times(where, fields)
    return VideoAnnotation(name, value, fields)


def _check_times(where: str, fields: dict[str, Any]) -> None:
    times = {key: fields[key] for key in ('start', 'end') if fields.get(key) is not None}
    for key, seconds in times.items():
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
            raise ValueError(f'{where}: {key} is {seconds!r}, expected seconds from 0 on')
    if len(times) == 2 and times['end'] <= times['start']:
        raise ValueError(f'{where}: end {times["end"]} is not after start {times["start"]}')
