"""Lists of pairs: a video and what is said about it in each row, as most projects keep them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from ..captions import CaptionTable
from ..reading import read_json, read_json_lines, read_table
from ..splits import Annotations, Clip, Split

__all__ = ['CAPTION_KEYS', 'VIDEO_KEYS', 'read_pairs']

# usual names of the two fields; the first that a file has is taken
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
    ``start`` and ``end`` (seconds) say which part of the video is meant. Rows of the same video
    become captions of one item.

    Args:
        files: The lists, ending in .json, .jsonl, .ndjson, .csv or .tsv; a split has the name of
            its file without the ending.
        drop_empty: Leave out empty captions instead of an error.
        video_key: Field that names the video; by default the first of ``VIDEO_KEYS`` that is there.
        caption_key: Field of the captions; by default the first of ``CAPTION_KEYS``.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a row is not what it should be, or rows mean different parts of a video; the
            message names the place.
    """
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f'annotation file {path} does not exist')
    names = [path.stem for path in files]
    for name in names:
        if names.count(name) > 1 or name == 'summary':
            raise ValueError(
                f'{name}.json would be written twice, as each list is written under its own name'
            )
    notes: list[str] = []
    splits = [_read_split(path, drop_empty, (video_key, caption_key), notes) for path in files]
    disjoint = []
    for first, second in combinations(splits, 2):
        if first.name.startswith('train') != second.name.startswith('train'):
            disjoint.append((first.name, second.name))
        elif shared := len(_ids(first) & _ids(second)):
            notes.append(f'{shared:,} videos are in both {first.listed_in} and {second.listed_in}')
    return Annotations('Pairs', splits, disjoint, files, notes)


def _ids(split: Split) -> set[str]:
    return {clip.video_id for clip in split.clips}


def _read_split(
    path: Path, drop_empty: bool, keys: tuple[str | None, str | None], notes: list[str]
) -> Split:
    captions = CaptionTable(drop_empty=drop_empty)
    parts: dict[str, tuple[str, dict[str, float]]] = {}
    for where, row in _read_rows(path):
        if not parts:
            keys = (
                _choose(where, row, keys[0], VIDEO_KEYS, 'video'),
                _choose(where, row, keys[1], CAPTION_KEYS, 'caption'),
            )
            notes.append(f'{path.name}: videos from {keys[0]!r}, captions from {keys[1]!r}')
        lacking = [key for key in keys if key not in row]
        if lacking:
            raise ValueError(f'{where} has no {lacking[0]!r}, found {", ".join(row)}')
        video, said = row[keys[0]], row[keys[1]]  # type: ignore[index]
        for caption in said if isinstance(said, list) else [said]:
            captions.add(where, video, caption)
        times = _read_times(where, row)
        first, times_before = parts.setdefault(str(video).strip(), (where, times))
        if times != times_before:
            raise ValueError(
                f'{where}: {video} from {times}, but {times_before} at {first}: an annotation has '
                'one part of a video; cut the others into files of their own'
            )
    if not parts:
        raise ValueError(f'{path} lists no videos')
    notes += captions.check()
    annotated = [video for video in parts if video in captions]
    if not annotated:
        raise ValueError(f'{path}: no video has a caption')
    clips = [Clip(video, captions[video], **parts[video][1]) for video in annotated]
    unannotated = [video for video in parts if video not in captions]
    return Split(path.stem, clips, path.name, unannotated)


def _read_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix in ('.csv', '.tsv'):
        yield from read_table(path)
    elif path.suffix in ('.jsonl', '.ndjson'):
        yield from read_json_lines(path)
    elif path.suffix == '.json':
        for number, row in enumerate(read_json(path, list)):
            where = f'{path}: entry {number}'
            if not isinstance(row, dict):
                raise ValueError(f'{where}: expected an object, found {row!r:.80}')
            yield where, row
    else:
        raise ValueError(f'{path} should end in one of {", ".join(ENDINGS)}')


def _choose(
    where: str, row: Mapping[str, Any], asked: str | None, usual: Sequence[str], kind: str
) -> str:
    for key in (asked,) if asked is not None else usual:
        if key in row:
            return key
    raise ValueError(
        f'{where} has no {kind} under {", ".join([asked] if asked else usual)}; found the fields '
        f'{", ".join(row)}; name it with --{kind}-key'
    )


def _read_times(where: str, row: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of ``start`` and ``end``; an empty cell is none."""
    times = {}
    for key in ('start', 'end'):
        value = row.get(key)
        if value is None or value == '':
            continue
        try:
            times[key] = float(value)
        except (TypeError, ValueError):
            times[key] = math.nan
        if isinstance(value, bool) or not 0 <= times[key] < math.inf:
            raise ValueError(f'{where}: {key} is {value!r:.80}, expected seconds from 0 on')
    if times.get('end', math.inf) <= times.get('start', 0):
        raise ValueError(f'{where}: end {times["end"]} is not after start {times.get("start", 0)}')
    return times
