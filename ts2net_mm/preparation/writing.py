"""Write the prepared files, all or none."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..utils.files import replacing

__all__ = ['annotation_text', 'link_videos', 'write_files']


def annotation_text(videos: Mapping[str, Any]) -> str:
    """Write MMAction2's video-text JSON with one video a line."""
    rows = (
        f'{json.dumps(name, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}'
        for name, value in videos.items()
    )
    return '{\n' + ',\n'.join(rows) + '\n}\n'


def write_files(folder: Path, texts: Mapping[str, str | None], sources: Iterable[Path]) -> None:
    """Write text files; an old file whose new text is None is removed.

    All of them are written under temporary names before the first takes its place.

    Args:
        folder: Made if it does not exist.
        texts: Content by file name.
        sources: Files that must not be overwritten.

    Raises:
        OSError: If something cannot be written.
        FileExistsError: If a source would be overwritten.
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
    with ExitStack() as stack:
        for name, text in texts.items():
            if text is not None:
                temporary = stack.enter_context(replacing(folder / name))
                temporary.write_text(text, encoding='utf-8')
    for name, text in texts.items():
        if text is None:
            (folder / name).unlink(missing_ok=True)


def link_videos(link: Path, videos: Path) -> bool:
    """Make a link to the folder of videos, unless it is there.

    Returns:
        Whether the link was made.

    Raises:
        FileExistsError: If something else is in its place.
    """
    check_link(link, videos)
    if link.exists():
        return False
    link.symlink_to(videos.resolve(), target_is_directory=True)
    return True


def check_link(link: Path, videos: Path) -> None:
    """Raise a FileExistsError if a link cannot be made because something else is there."""
    if link.resolve() == videos.resolve() and link.exists():
        return
    if link.is_symlink():
        raise FileExistsError(
            f'{link} leads to {os.readlink(link)}, not to {videos}; remove it or choose another '
            '--out'
        )
    if link.exists():
        raise FileExistsError(
            f'{link} exists and is not {videos}; remove it or choose another --out'
        )
