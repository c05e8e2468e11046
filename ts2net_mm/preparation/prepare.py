"""Match annotations with video files, and write what a config reads."""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ..utils.files import replacing
from ..video.video_files import VIDEO_EXTENSIONS, find_videos, last_ending
from .annotations import Annotations, Split

__all__ = ['KNOWN_ENDINGS', 'Preparation', 'VideoIndex', 'prepare', 'without_extension']

OnMissing = Literal['keep', 'drop']
MISSING_FILE = 'missing_videos.txt'
REPEATED_FILE = 'repeated_videos.txt'
UNANNOTATED_FILE = 'unannotated_videos.txt'
# Besides the usual extensions, DiDeMo's videos have these: no extension after the dot, and "null".
KNOWN_ENDINGS = VIDEO_EXTENSIONS | {'.', '.null'}


@dataclass
class Preparation:
    """What was found and written.

    Args:
        summary: Content of ``summary.json``.
        missing: Ids without video file.
        repeated: Ids with several files; the first file is used.
        unannotated: Ids that are listed without a caption, by list.
        linked: Whether the link to the videos was created now.
    """

    summary: dict[str, Any]
    missing: list[str] = field(default_factory=list)
    repeated: dict[str, list[str]] = field(default_factory=dict)
    unannotated: dict[str, list[str]] = field(default_factory=dict)
    linked: bool = False


def prepare(
    annotations: Annotations, *, videos: Path, out: Path, on_missing: OnMissing = 'keep'
) -> Preparation:
    """Write one annotation file per split, ``summary.json``, and lists of what needs attention.

    Args:
        annotations: The content of the official files.
        videos: Folder of the video files.
        out: Folder to write; ``out/videos`` becomes a link to ``videos``.
        on_missing: Keep videos without file under the name of an .mp4, or drop them.

    Raises:
        OSError: If the videos cannot be found or something cannot be written.
        ValueError: If a video is in two splits, or two ids have the same file.
    """
    # everything is checked before the first file is written
    annotations.check()
    index = VideoIndex.from_folder(videos)
    link = out / 'videos'
    _check_link(link, videos)
    files = _match(annotations, index)
    contents = {split.name: _annotation(split, files, on_missing) for split in annotations.splits}
    missing = [one for one in files if not files[one]]
    repeated = {one: found for one, found in files.items() if len(found) > 1}
    unannotated = {split.listed_in: split.unannotated for split in annotations.splits}
    summary = dict(
        data_set=annotations.data_set,
        videos=str(videos.resolve()),
        on_missing=on_missing,
        missing_videos=len(missing),
        repeated_videos=len(repeated),
        splits={
            split.name: _summarise(split, files, contents[split.name])
            for split in annotations.splits
        },
        notes=list(annotations.notes),
    )
    lists = {
        MISSING_FILE: missing,
        REPEATED_FILE: ['\t'.join([one, *paths]) for one, paths in repeated.items()],
        UNANNOTATED_FILE: [f'{name}\t{one}' for name, ids in unannotated.items() for one in ids],
    }
    texts = {}
    for name, content in contents.items():  # one video per line, which diff and grep can read
        rows = (
            ': '.join(json.dumps(part, ensure_ascii=False) for part in item)
            for item in content.items()
        )
        texts[f'{name}.json'] = '{\n' + ',\n'.join(rows) + '\n}\n'
    texts |= {name: ''.join(f'{line}\n' for line in lines) for name, lines in lists.items()}
    texts |= {'summary.json': json.dumps(summary, indent=1, ensure_ascii=False) + '\n'}
    _write_files(out, texts, annotations.sources)
    linked = not link.exists()
    if linked:
        link.symlink_to(videos.resolve(), target_is_directory=True)
    return Preparation(summary, missing, repeated, unannotated, linked)


def _match(annotations: Annotations, index: 'VideoIndex') -> dict[str, list[str]]:
    """Find the files of each listed id, the one to use first."""
    ids = dict.fromkeys(clip.video_id for split in annotations.splits for clip in split.clips)
    # a file of exactly another video's name is not this video in another format
    others = annotations.other_names | {PurePosixPath(one).name for one in ids}
    files = {one: index.find(*annotations.file_names(one), others=others) for one in ids}
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
    """Build the content of an annotation file: captions, and times where there are any."""
    content: dict[str, Any] = {}
    for clip in split.clips:
        found = files[clip.video_id]
        if not found and on_missing == 'drop':
            continue
        has_ending = last_ending(clip.video_id) in KNOWN_ENDINGS
        assumed = clip.video_id if has_ending else f'{clip.video_id}.mp4'
        times = dict(start=clip.start, end=clip.end)
        times = {key: time for key, time in times.items() if time is not None}
        value = dict(captions=clip.captions, **times) if times else clip.captions
        content[found[0] if found else assumed] = value
    if not content:
        raise FileNotFoundError(
            f'none of the {len(split.clips)} videos of {split.name} has a file, so '
            f'{split.name}.json would be empty'
        )
    return content


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


def _write_files(folder: Path, texts: Mapping[str, str], sources: Iterable[Path]) -> None:
    """Write text files, all or none; an old file whose new text is empty is removed.

    Raises:
        FileExistsError: If one of ``sources`` would be overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    read = {path.resolve() for path in sources}
    for name in texts:
        if (folder / name).resolve() in read:
            raise FileExistsError(
                f'{folder / name} is an official file that was read; choose another --out'
            )
        if (folder / name).is_dir():
            raise IsADirectoryError(f'{folder / name} is a folder, expected a file or nothing')
    # all are written under temporary names before the first takes its place
    with ExitStack() as stack:
        for name, text in texts.items():
            if text:
                temporary = stack.enter_context(replacing(folder / name))
                temporary.write_text(text, encoding='utf-8')
    for name, text in texts.items():
        if not text:
            (folder / name).unlink(missing_ok=True)


def _check_link(link: Path, videos: Path) -> None:
    """Raise a FileExistsError if the link cannot be created because something else is there."""
    if link.is_symlink() or link.exists():
        if link.exists() and link.resolve() == videos.resolve():
            return
        what = f'leads to {os.readlink(link)}, not to' if link.is_symlink() else 'exists and is not'
        raise FileExistsError(f'{link} {what} {videos}; remove it or choose another --out')


def without_extension(name: str) -> str:
    """Take off the folders and all video extensions; other dots stay, such as those of a time.

    Example:
        >>> without_extension('12_0a.mov.mp4'), without_extension('0001_Up_00.00.51.926')
        ('12_0a', '0001_Up_00.00.51.926')
    """
    name = PurePosixPath(name).name
    while last_ending(name) in KNOWN_ENDINGS:
        name = _without_last(name)
    return name


def _without_last(name: str) -> str:
    return name.rpartition('.')[0]


@dataclass(frozen=True)
class VideoIndex:
    """The files of a folder and its sub-folders, by their names without video extensions.

    Args:
        folder: What was searched.
        files: Paths inside the folder, with forward slashes, sorted; empty files, broken links and
            files without an ending do not count.
    """

    folder: Path
    files: dict[str, list[str]]

    @classmethod
    def from_folder(cls, folder: Path) -> 'VideoIndex':
        """Search a folder.

        Raises:
            FileNotFoundError: If it does not exist or holds no video.
            NotADirectoryError: If it is a file.
        """
        files: dict[str, list[str]] = {}
        any_video = False
        for file in find_videos(folder, extensions=None):
            ending = last_ending(file.path.name)
            if file.size > 0 and ending:
                files.setdefault(without_extension(file.path.name), []).append(file.name)
                any_video |= ending in KNOWN_ENDINGS
        if not any_video:
            raise FileNotFoundError(f'there is no video file in {folder} or below')
        return cls(folder, files)

    def find(self, *names: str, others: Collection[str] = ()) -> list[str]:
        """List the files of a video, the best first.

        First comes the file that has exactly its name, whatever the ending; then the name with a
        video extension added (``x.mov.mp4`` for ``x.mov``); then files that share the name without
        extensions, unless their full name is that of another video. A name with folders matches
        only files whose folders agree with it as far as both say.

        Args:
            *names: The names that its file may have, with or without extension.
            others: File names of other videos of the data set.
        """
        return list(dict.fromkeys(path for name in names for path in self._ranked(name, others)))

    def _ranked(self, name: str, others: Collection[str]) -> Iterator[str]:
        own = PurePosixPath(name).name
        files = {
            path: PurePosixPath(path).name
            for path in self.files.get(without_extension(name), [])
            if _folders_agree(path, name)
        }
        yield from (path for path, file in files.items() if file == own)
        videos = {path: file for path, file in files.items() if last_ending(file) in KNOWN_ENDINGS}
        yield from (path for path, file in videos.items() if _without_last(file) == own)
        for path, file in videos.items():
            rivals = {file, _without_last(file)} - {own}
            if not any(rival in others for rival in rivals):
                yield path


def _folders_agree(path: str, name: str) -> bool:
    """Whether the folders of one are the last folders of the other."""
    pairs = zip(
        reversed(PurePosixPath(path).parts[:-1]),
        reversed(PurePosixPath(name).parts[:-1]),
        strict=False,
    )
    return all(one == other for one, other in pairs)
