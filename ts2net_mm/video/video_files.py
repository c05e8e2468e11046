"""Find the video files of a folder."""

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    'VIDEO_EXTENSIONS',
    'VideoFile',
    'describe_endings',
    'find_frame_folders',
    'find_videos',
    'frame_numbers',
    'is_skipped_video',
    'last_ending',
    'read_video_list',
]

logger = logging.getLogger(__name__)

FILENAME_TEMPLATE = 'img_{:05}.jpg'  # as MMAction2 names extracted frames

# of files that are always videos: not '.gif' (also pictures) and '.ts' (also TypeScript)
VIDEO_EXTENSIONS = frozenset(
    [
        '.3g2',
        '.3gp',
        '.3gpp',
        '.asf',
        '.avi',
        '.divx',
        '.dv',
        '.f4v',
        '.flv',
        '.m1v',
        '.m2t',
        '.m2ts',
        '.m2v',
        '.m4v',
        '.mkv',
        '.mov',
        '.mp4',
        '.mpe',
        '.mpeg',
        '.mpg',
        '.mts',
        '.mxf',
        '.ogv',
        '.qt',
        '.tod',
        '.vob',
        '.webm',
        '.wmv',
    ]
)


@dataclass(frozen=True)
class VideoFile:
    """A video file, with its size and time as signs of a change.

    Args:
        path: Path of the file.
        name: Path relative to the folder that was searched, with forward slashes.
        size: Bytes; -1 if the file cannot be accessed (such as a broken link).
        mtime_ns: Time of the last change, nanoseconds.
    """

    path: Path
    name: str
    size: int
    mtime_ns: int


def find_videos(
    folder: str | Path, *, extensions: Collection[str] | None = VIDEO_EXTENSIONS
) -> list[VideoFile]:
    """List the videos of a folder and its sub-folders, sorted by name.

    Videos are recognised by their extension, in upper or lower case. Hidden files and folders are
    ignored; links to folders are followed, each folder once.

    Args:
        folder: Folder to search.
        extensions: Extensions of videos, with their dot; None for every file.

    Raises:
        FileNotFoundError: If the folder does not exist.
        NotADirectoryError: If it is a file.
    """
    root = _check_folder(folder)
    videos = [
        _look_at(path, root)
        for parent, names in _walk(root)
        for path in (parent / name for name in names)
        if extensions is None or path.suffix.lower() in extensions
    ]
    return sorted(videos, key=lambda video: video.name)


def read_video_list(path: str | Path) -> list[VideoFile]:
    """Read a text file that names a video in each line; empty lines are ignored.

    Args:
        path: The list, in UTF-8. Relative paths start at the current folder.

    Raises:
        ValueError: If it names no video, or is not such a text.
    """
    try:
        lines = Path(path).expanduser().read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no folder and no list of videos: {error}') from error
    names = dict.fromkeys(line.strip() for line in lines if line.strip())
    if not names:
        raise ValueError(f'the list {path} names no video')
    return [_look_at(Path(name), Path()) for name in names]


def last_ending(path: str | Path) -> str:
    """Return the end of a file's name from its last dot on, '.' for a dot at the very end, or ''.

    Example:
        >>> last_ending('a.b.MP4'), last_ending('a.'), last_ending('.hidden'), last_ending('v1.0/a')
        ('.mp4', '.', '', '')
    """
    stem, dot, ending = os.path.basename(path).rpartition('.')
    return f'.{ending}'.lower() if dot and stem else ''


def is_skipped_video(path: str | Path, *, is_final: bool) -> bool:
    """Tell whether a file that cannot be read is a skipped video, and not one of other files.

    Files of any kind are tried. A skipped video is named like one, is a folder, which holds
    frames, or may be read another time.

    Args:
        path: The file.
        is_final: Whether its content is the reason, and not a time limit, a crash or the file
            system.
    """
    return not is_final or last_ending(path) in VIDEO_EXTENSIONS or Path(path).is_dir()


def describe_endings(counts: Mapping[str, int]) -> str:
    """Describe how many files there are of each ending.

    Example:
        >>> describe_endings({'.jpg': 1200, '': 1})
        '.jpg (1,200), without ending (1)'
    """
    return ', '.join(f'{ending or "without ending"} ({n:,})' for ending, n in counts.items())


def find_frame_folders(folder: str | Path, filename_tmpl: str) -> list[VideoFile]:
    """List the folders of pictures in a folder and its sub-folders, sorted by name.

    The size is that of all pictures together, the time of change that of the latest one.

    Args:
        folder: Folder to search, as in `find_videos`.
        filename_tmpl: Name of a picture, with its number in braces.

    Raises:
        FileNotFoundError: If the folder does not exist.
        NotADirectoryError: If it is a file.
    """
    root = _check_folder(folder)
    found = []
    for parent, names in _walk(root):
        numbers = frame_numbers(names, filename_tmpl)
        if not numbers:
            continue
        pictures = [_look_at(parent / filename_tmpl.format(number), root) for number in numbers]
        name = parent.relative_to(root).as_posix() if parent != root else parent.resolve().name
        size = sum(picture.size for picture in pictures)
        found.append(VideoFile(parent, name, size, max(picture.mtime_ns for picture in pictures)))
    return sorted(found, key=lambda video: video.name)


def _check_folder(folder: str | Path) -> Path:
    root = Path(folder).expanduser()
    if not root.exists():
        raise FileNotFoundError(f'video folder {root} does not exist')
    if not root.is_dir():
        raise NotADirectoryError(f'{root} is a file, expected a folder of videos')
    return root


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder once, with the names of its files except hidden ones."""
    visited = set()
    for parent, subfolders, names in os.walk(root, followlinks=True, onerror=_report):
        identity = os.stat(parent)
        if (identity.st_dev, identity.st_ino) in visited:
            subfolders.clear()
            continue
        visited.add((identity.st_dev, identity.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith('.'))
        yield Path(parent), [name for name in names if not name.startswith('.')]


def _report(error: OSError) -> None:
    logger.warning('folder %s is skipped: %s', error.filename, error.strerror)


def _look_at(path: Path, root: Path) -> VideoFile:
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    try:
        status = path.stat()
    except OSError:
        return VideoFile(path, name, size=-1, mtime_ns=0)
    return VideoFile(path, name, status.st_size, status.st_mtime_ns)


def frame_numbers(names: Iterable[str], filename_tmpl: str = FILENAME_TEMPLATE) -> list[int]:
    """Return the numbers of the pictures among file names, ascending; ignore other names.

    Example:
        >>> frame_numbers(['img_00002.jpg', 'img_00001.jpg', 'notes.txt'])
        [1, 2]
    """
    start = filename_tmpl.partition('{')[0]
    end = filename_tmpl.rpartition('}')[2]
    numbers = []
    for name in names:
        middle = name[len(start) : len(name) - len(end)]
        if middle.isascii() and middle.isdigit() and filename_tmpl.format(int(middle)) == name:
            numbers.append(int(middle))
    return sorted(numbers)
