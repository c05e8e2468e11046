"""Find the video file that belongs to an id."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..video.video_files import VIDEO_EXTENSIONS, find_videos, last_ending

__all__ = ['KNOWN_ENDINGS', 'VideoIndex', 'without_extension']

# Besides the usual extensions, DiDeMo's videos have these: no extension after the dot, and "null".
KNOWN_ENDINGS = VIDEO_EXTENSIONS | {'.', '.null'}


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
    def of(cls, folder: Path) -> 'VideoIndex':
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
        candidates = [
            path
            for path in self.files.get(without_extension(name), [])
            if _folders_agree(path, name)
        ]
        files = {path: PurePosixPath(path).name for path in candidates}
        yield from (path for path, file in files.items() if file == own)
        videos = {path: file for path, file in files.items() if last_ending(file) in KNOWN_ENDINGS}
        yield from (path for path, file in videos.items() if _without_last(file) == own)
        rivals = set(others) - {own}
        for path, file in videos.items():
            if file not in rivals and _without_last(file) not in rivals:
                yield path


def _folders_agree(path: str, name: str) -> bool:
    """Whether the folders of one are the last folders of the other."""
    pairs = zip(
        reversed(PurePosixPath(path).parts[:-1]),
        reversed(PurePosixPath(name).parts[:-1]),
        strict=False,
    )
    return all(one == other for one, other in pairs)
