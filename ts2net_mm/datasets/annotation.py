"""Read and check MMAction2's video-text JSON."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ['VideoAnnotation', 'how_to_prepare', 'load_annotations']

# the script of tools/data that writes a folder of this name
PREPARED = {
    name: f'tools/data/prepare.py {name}'
    for name in ('activitynet', 'didemo', 'lsmdc', 'msrvtt', 'msvd', 'vatex')
} | dict(moving_shapes='tools/data/moving_shapes/render.py')
LONGEST_SECONDS = 1e9  # thirty years


@dataclass(frozen=True)
class VideoAnnotation:
    """Captions and other fields of a video's annotation (``start`` and ``end`` in seconds)."""

    video_id: str
    captions: list[str]
    fields: dict[str, Any] = field(default_factory=dict)


def how_to_prepare(path: str | Path) -> str:
    """Return the end of a message that names the script which writes a known data set.

    Example:
        >>> how_to_prepare('data/msvd/train.json')
        '; tools/data/prepare.py msvd makes data/msvd'
    """
    parts = Path(path).parts
    for number, part in enumerate(parts):
        if part in PREPARED:
            return f'; {PREPARED[part]} makes {Path(*parts[: number + 1])}'
    return ''


def load_annotations(path: str | Path) -> list[VideoAnnotation]:
    """Read ``{file name: [captions]}`` or ``{file name: {"captions": [...], ...}}``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not such a JSON object, a video or a field is named twice, a caption is
            empty or not a string, or a time is invalid; the message names file and key.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'annotation file {path} does not exist{how_to_prepare(path)}')
    try:
        pairs = json.loads(Path(path).read_text(encoding='utf-8'), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:  # such as numbers of 5,000 digits
        raise ValueError(f'{path} is not valid JSON: {error}') from error
    if not isinstance(pairs, _Pairs):
        raise ValueError(
            f'{path} holds a {type(pairs).__name__}, expected an object {{file name: [captions]}}'
        )
    if not pairs:
        raise ValueError(f'{path} names no videos')
    repeated = pairs.repeated_names()
    if repeated:
        raise ValueError(
            f'{path} names {len(repeated)} videos more than once, the first is {repeated[0]!r}'
        )
    return [_parse_video(path, name, value) for name, value in pairs]


class _Pairs(list):
    """A JSON object as a list of pairs, which keeps repeated names."""

    def repeated_names(self) -> list[str]:
        return [name for name, count in Counter(name for name, _ in self).items() if count > 1]


def _parse_video(path: str | Path, name: str, value: Any) -> VideoAnnotation:
    where = f'{path}: {name!r}'
    if not name or not _is_unicode(name) or '\0' in name:
        raise ValueError(f'{where} is not a file name')
    value = _to_plain(where, value)
    fields = value if isinstance(value, dict) else {'captions': value}
    captions = fields.pop('captions', None)
    if not isinstance(captions, list) or not captions:
        raise ValueError(
            f'{where} has no captions: expected a list of sentences, found {captions!r:.80}'
        )
    for number, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise ValueError(f'{where}: caption {number} is {caption!r}, expected a string')
        if not caption.strip():
            raise ValueError(f'{where}: caption {number} is empty')
        if not _is_unicode(caption):
            raise ValueError(
                f'{where}: caption {number} is {caption!a:.80}, which is not Unicode text'
            )
    _check_times(where, fields)
    return VideoAnnotation(name, captions, fields)


def _is_unicode(text: str) -> bool:
    """Tell whether a text has no lone surrogates, which are valid in JSON but not in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _to_plain(where: str, value: Any) -> Any:
    """Convert JSON objects to dicts, at any depth."""
    if isinstance(value, _Pairs):
        if repeated := value.repeated_names():
            raise ValueError(f'{where} holds {repeated[0]!r} more than once')
        return {key: _to_plain(where, element) for key, element in value}
    if isinstance(value, list):
        return [_to_plain(where, element) for element in value]
    return value


def _check_times(where: str, fields: dict[str, Any]) -> None:
    times = {key: fields[key] for key in ('start', 'end') if fields.get(key) is not None}
    for key, seconds in times.items():
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not is_number or not 0 <= seconds <= LONGEST_SECONDS:
            raise ValueError(f'{where}: {key} is {seconds!r:.80}, expected seconds from 0 on')
    if 'end' in times and times['end'] <= (start := times.get('start', 0)):
        raise ValueError(f'{where}: end {times["end"]} is not after start {start}')
