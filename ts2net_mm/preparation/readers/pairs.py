"""Lists of pairs: rows of a video and a sentence about it, as most projects keep them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from ..annotations import Annotations, CaptionTable, Split, make_split
from ..sources import expect, read_json, read_json_lines, read_table

__all__ = ['CAPTION_KEYS', 'VIDEO_KEYS', 'read_pairs']

# usual names of the two fields; the first that a file has is used
VIDEO_KEYS = ('video', 'video_id', 'video_path', 'video_name', 'path', 'filename', 'file', 'id')
CAPTION_KEYS = ('caption', 'captions', 'sentence', 'text', 'description')
ENDINGS = ('.json', '.jsonl', '.ndjson', '.csv', '.tsv')


def read_pairs(
    files: Sequence[Path],
    *,
    drop_empty: bool = False,
    video_key: str | None = None,
    caption_key: str | None = None,
) -> Annotations:
    """Read one split from each file.

    A row is an object of a JSON list or of a line (JSON lines), or a row of a table with a header
    (commas, semicolons or tabs). It names a video and holds a caption or, in JSON, a list of them;
    ``start`` and ``end`` (seconds) tell which part of the video is meant. Rows of the same video
    become captions of one item.

    Args:
        files: The lists, ending in .json, .jsonl, .ndjson, .csv or .tsv; a split has the name of
            its file without the ending.
        drop_empty: Drop empty captions instead of an error.
        video_key: Field that names the video; by default the first of ``VIDEO_KEYS`` that is there.
        caption_key: Field of the captions; by default the first of ``CAPTION_KEYS``.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a row is not as expected, or rows mean different parts of a video; the
            message names the place.
    """
    names = [path.stem for path in files]
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f'annotation file {path} does not exist')
        if names.count(path.stem) > 1 or path.stem == 'summary':
            raise ValueError(
                f'{path.stem}.json would be written twice, as each list is written under its own '
                'name'
            )
    notes: list[str] = []
    splits = [_read_split(path, drop_empty, (video_key, caption_key), notes) for path in files]
    disjoint = []
    for first, second in combinations(splits, 2):
        if first.name.startswith('train') != second.name.startswith('train'):
            disjoint.append((first.name, second.name))
        elif shared := len(first.ids & second.ids):
            notes.append(f'{shared:,} videos are in both {first.listed_in} and {second.listed_in}')
    return Annotations('Pairs', splits, disjoint, files, notes)


def _read_split(
    path: Path, drop_empty: bool, keys: tuple[str | None, str | None], notes: list[str]
) -> Split:
    captions = CaptionTable(drop_empty=drop_empty)
    parts: dict[str, tuple[str, tuple[float | None, float | None]]] = {}
    for where, row in _read_rows(path):
        if not parts:
            keys = (
                _choose(where, row, keys[0], VIDEO_KEYS, 'video'),
                _choose(where, row, keys[1], CAPTION_KEYS, 'caption'),
            )
            notes.append(f'{path.name}: videos from {keys[0]!r}, captions from {keys[1]!r}')
        if lacking := [key for key in keys if key not in row]:
            raise ValueError(f'{where} has no {lacking[0]!r}, found {", ".join(row)}')
        video, said = (row[str(key)] for key in keys)
        for caption in said if isinstance(said, list) else [said]:
            captions.add(where, video, caption)
        times = _read_times(where, row)
        first, times_before = parts.setdefault(video.strip(), (where, times))
        if times != times_before:
            raise ValueError(
                f'{where}: {video} from {times[0]} to {times[1]}, but from {times_before[0]} to '
                f'{times_before[1]} at {first}: an annotation has one part of a video; cut the '
                'others into files of their own'
            )
    notes += captions.check()
    return make_split(path.stem, path, parts, captions, times=lambda video: parts[video][1])


def _read_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix in ('.csv', '.tsv'):
        yield from read_table(path)
    elif path.suffix in ('.jsonl', '.ndjson'):
        yield from read_json_lines(path)
    elif path.suffix == '.json':
        for number, row in enumerate(read_json(path, list)):
            where = f'{path}: entry {number}'
            expect(isinstance(row, dict), where, 'an object', row)
            yield where, row
    else:
        raise ValueError(f'{path} should end in one of {", ".join(ENDINGS)}')


def _choose(
    where: str, row: Mapping[str, Any], requested: str | None, usual: Sequence[str], kind: str
) -> str:
    for key in (requested,) if requested is not None else usual:
        if key in row:
            return key
    raise ValueError(
        f'{where} has no {kind} under {", ".join([requested] if requested else usual)}; found the '
        f'fields {", ".join(row)}; name it with --{kind}-key'
    )


def _read_times(where: str, row: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Seconds of ``start`` and ``end``; None if missing or an empty cell."""
    times: list[float | None] = []
    for key in ('start', 'end'):
        value = row.get(key)
        if value is None or value == '':
            times.append(None)
            continue
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            seconds = math.nan
        is_time = 0 <= seconds < math.inf and not isinstance(value, bool)
        expect(is_time, f'{where}: {key}', 'seconds of at least 0', value)
        times.append(seconds)
    start, end = times
    if end is not None and end <= (start or 0):
        raise ValueError(f'{where}: end {end} is not after start {start or 0}')
    return start, end
