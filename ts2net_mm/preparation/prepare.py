"""Match annotations with video files and write what a config reads."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ..video.video_files import last_ending
from .splits import Annotations, Clip, Split
from .videos import KNOWN_ENDINGS, VideoIndex
from .writing import annotation_text, check_link, link_videos, write_files

__all__ = ['MISSING_FILE', 'Preparation', 'prepare']

OnMissing = Literal['keep', 'drop']
MISSING_FILE = 'missing_videos.txt'
REPEATED_FILE = 'repeated_videos.txt'
UNANNOTATED_FILE = 'unannotated_videos.txt'


@dataclass
class Preparation:
    """What was found and written.

    Args:
        summary: Content of ``summary.json``.
        missing: Ids without video file.
        repeated: Ids with several files; the first file is used.
        unannotated: Ids that are listed without a caption, by list.
        linked: Whether the link to the videos was made now.
    """

    summary: dict[str, Any]
    missing: list[str] = field(default_factory=list)
    repeated: dict[str, list[str]] = field(default_factory=dict)
    unannotated: dict[str, list[str]] = field(default_factory=dict)
    linked: bool = False


def prepare(
    annotations: Annotations, *, videos: Path, out: Path, on_missing: OnMissing = 'keep'
) -> Preparation:
    """Write one annotation file a split, ``summary.json``, and lists of what needs attention.

    Args:
        annotations: What the official files say.
        videos: Folder of the video files.
        out: Folder to write; ``out/videos`` becomes a link to ``videos``.
        on_missing: Keep videos without file under the name of an .mp4, or drop them.

    Raises:
        OSError: If the videos cannot be found or something cannot be written.
        ValueError: If a video is in two splits, or two ids have the same file.
    """
    annotations.check()
    index = VideoIndex.of(videos)
    check_link(out / 'videos', videos)
    files = _match(annotations, index)
    ids = list(files)
    result = Preparation(
        summary={},
        missing=[one for one in ids if not files[one]],
        repeated={one: files[one] for one in ids if len(files[one]) > 1},
        unannotated={one.listed_in: one.unannotated for one in annotations.splits},
    )
    texts: dict[str, str | None] = {}
    summaries = {}
    for split in annotations.splits:
        content = _annotation(split, files, on_missing)
        texts[f'{split.name}.json'] = annotation_text(content)
        summaries[split.name] = _summarise(split, files, content)
    result.summary = dict(
        data_set=annotations.data_set,
        videos=str(videos.resolve()),
        on_missing=on_missing,
        missing_videos=len(result.missing),
        repeated_videos=len(result.repeated),
        splits=summaries,
        notes=list(annotations.notes),
    )
    texts |= _reports(result)
    write_files(out, texts, annotations.sources)
    result.linked = link_videos(out / 'videos', videos)
    return result


def _match(annotations: Annotations, index: VideoIndex) -> dict[str, list[str]]:
    """Files of each id, the one to use first."""
    ids = dict.fromkeys(clip.video_id for split in annotations.splits for clip in split.clips)
    names = annotations.other_names | {PurePosixPath(one).name for one in ids}
    files = {one: index.find(*annotations.file_names(one), others=names) for one in ids}
    owners: dict[str, str] = {}
    for one, paths in files.items():
        if paths and (owner := owners.setdefault(paths[0], one)) != one:
            raise ValueError(f'{index.folder / paths[0]} belongs to two ids, {owner} and {one}')
    if not owners:
        example = next(iter(index.files.values()))[0]
        raise FileNotFoundError(
            f'none of the {len(files)} videos is in {index.folder}, such as {next(iter(files))}; '
            f'it holds {len(index.files)} others, such as {example}'
        )
    return files


def _annotation(
    split: Split, files: Mapping[str, list[str]], on_missing: OnMissing
) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for clip in split.clips:
        found = files[clip.video_id]
        if found or on_missing == 'keep':
            content[found[0] if found else _assumed_file(clip.video_id)] = _value(clip)
    if not content:
        raise FileNotFoundError(
            f'none of the {len(split.clips)} videos of {split.name} has a file, so '
            f'{split.name}.json would be empty'
        )
    return content


def _assumed_file(video_id: str) -> str:
    return video_id if last_ending(video_id) in KNOWN_ENDINGS else f'{video_id}.mp4'


def _value(clip: Clip) -> list[str] | dict[str, Any]:
    times = {key: getattr(clip, key) for key in ('start', 'end') if getattr(clip, key) is not None}
    return dict(captions=clip.captions, **times) if times else clip.captions


def _summarise(
    split: Split, files: Mapping[str, list[str]], content: Mapping[str, Any]
) -> dict[str, Any]:
    missing = [clip for clip in split.clips if not files[clip.video_id]]
    return dict(
        file=f'{split.name}.json',
        listed_in=split.listed_in,
        videos=len(split.clips),
        captions=split.num_captions,
        missing_videos=len(missing),
        missing_captions=sum(len(clip.captions) for clip in missing),
        unannotated_videos=len(split.unannotated),
        repeated_ids=split.num_repeated,
        written_videos=len(content),
        published=asdict(split.published) if split.published else None,
    )


def _reports(result: Preparation) -> dict[str, str | None]:
    missing = ''.join(f'{one}\n' for one in result.missing)
    repeated = ''.join('\t'.join([one, *paths]) + '\n' for one, paths in result.repeated.items())
    unannotated = ''.join(
        f'{listed_in}\t{one}\n' for listed_in, ids in result.unannotated.items() for one in ids
    )
    return {
        MISSING_FILE: missing or None,
        REPEATED_FILE: repeated or None,
        UNANNOTATED_FILE: unannotated or None,
        'summary.json': json.dumps(result.summary, indent=1, ensure_ascii=False) + '\n',
    }
