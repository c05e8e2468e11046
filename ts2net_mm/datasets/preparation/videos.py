"""Find the video file that belongs to an id."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...apis.video_files import VIDEO_EXTENSIONS, find_videos

__all__ = ['VideoIndex', 'without_extension']


def without_extension(name: str) -> str:
    """Take off all video extensions; other dots stay, such as those of a time in the name.

    Example:
        >>> without_extension('12_0a.mov.mp4'), without_extension('0001_Up_00.00.51.926')
        ('12_0a', '0001_Up_00.00.51.926')
    """
    path = PurePosixPath(name)
    while path.suffix.lower() in VIDEO_EXTENSIONS:
        path = path.with_suffix('')
    return path.name


@dataclass(frozen=True)
class VideoIndex:
    """The video files of a folder and its sub-folders by their names without extension.

    Args:
        folder: What was searched.
        files: Paths inside the folder, with forward slashes, sorted; empty files and broken links
            do not count.
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
        for video in find_videos(folder):
            if video.size > 0:
                files.setdefault(without_extension(video.path.name), []).append(video.name)
        if not files:
            raise FileNotFoundError(f'there is no video file in {folder} or below')
        return cls(folder, files)

    def find(self, *names: str) -> list[str]:
        """List the files that have one of the names, the best first.

        A file of exactly the name comes before one with another extension.
        """
        candidates: list[str] = []
        for name in names:
            found = self.files.get(without_extension(name), [])
            exact = [path for path in found if PurePosixPath(path).name == name]
            candidates += [*exact, *(path for path in found if path not in exact)]
        return candidates
