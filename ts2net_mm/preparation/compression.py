"""Compress videos with ffmpeg before training."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ..utils.files import move_into_place, require_same_settings, write_text
from ..utils.workers import Failure, die_with_parent
from ..video import GuardedVideoReader
from ..video.errors import DECODING_ERRORS, UnreadableVideoError, unreadable_reason
from ..video.video_files import find_videos, last_ending
from .prepare import KNOWN_ENDINGS

__all__ = ['Compression', 'CompressionPlan', 'Compressor', 'find_ffmpeg', 'plan_compression']

MANIFEST = 'compression.json'
UNFINISHED = '.unfinished'
# how far the length may differ: seconds, or part of the whole
TOLERANCE_SECONDS = 1.0
TOLERANCE_SHARE = 0.1
ERROR_LINE = re.compile(r'\[(?:error|fatal|panic)\] (.*)')
DURATION_LINE = re.compile(r'Duration: (\d+):(\d+):([\d.]+)')
ADDRESS = re.compile(r'\[[^\]]* @ 0x[0-9a-f]+\] ')


@dataclass(frozen=True)
class Compression:
    """A video and the path of its small version."""

    source: Path
    target: Path


def find_ffmpeg() -> str:
    """Find ffmpeg in PATH or in the package imageio-ffmpeg.

    Raises:
        FileNotFoundError: If there is none.
    """
    if found := shutil.which('ffmpeg'):
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise FileNotFoundError(
            'ffmpeg is not in PATH; install it, or: pip install imageio-ffmpeg'
        ) from error


@dataclass(frozen=True)
class CompressionPlan:
    """The videos to compress.

    Args:
        videos: Videos that have no small version yet.
        ignored: Number of files that are no videos, by their ending.
    """

    videos: list[Compression]
    ignored: dict[str, int]


def plan_compression(source: Path, target: Path) -> CompressionPlan:
    """List the videos that have no small version yet, and count the files that are no videos.

    All small versions are .mp4 in the same sub-folder. Where videos differ in the extension only,
    each keeps its own beside the new one: ``x.mov.mp4`` and ``x.avi.mp4``.

    Raises:
        FileNotFoundError: If there are no videos.
        ValueError: If the target is the source or inside it.
    """
    if target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f'{target} is inside {source}: its videos would be found as sources')
    files = find_videos(source, extensions=None)
    endings = {file.name: last_ending(file.path.name) for file in files}
    videos = [file for file in files if endings[file.name] in KNOWN_ENDINGS]
    if not videos:
        raise FileNotFoundError(f'there is no video file in {source} or below')
    targets = _small_names([video.name for video in videos])
    plan = [
        Compression(video.path, target / targets[video.name])
        for video in videos
        if not (target / targets[video.name]).exists()
    ]
    others = [ending for ending in endings.values() if ending not in KNOWN_ENDINGS]
    return CompressionPlan(plan, dict(Counter(others).most_common()))


def _small_names(names: Sequence[str]) -> dict[str, str]:
    """Name the small version of each video: x.mp4, or x.mov.mp4 if others would be x.mp4 too."""
    targets = {name: f'{name.rpartition(".")[0]}.mp4' for name in names}
    while True:
        uses = Counter(targets.values())
        clashing = [name for name in names if uses[targets[name]] > 1]
        if not clashing:
            return targets
        targets |= {name: f'{name}.mp4' for name in clashing}


@dataclass(frozen=True)
class Compressor:
    """Compresses one video after the other.

    Args:
        ffmpeg: Path of the program.
        folder: Where the small versions go.
        fps: Frames per second.
        short_side: Pixels; a smaller video keeps its size.
    """

    ffmpeg: str
    folder: Path
    fps: int = 3
    short_side: int = 224

    @contextmanager
    def opened(self) -> Iterator['Compressor']:
        """Create the folder with its settings in it; remove unfinished files before and after.

        Raises:
            ValueError: If the folder was created with other settings.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {key: asdict(self)[key] for key in ('fps', 'short_side')}
        manifest = self.folder / MANIFEST
        if manifest.exists():
            require_same_settings(manifest, settings, 'created', 'choose another folder')
        else:
            write_text(manifest, json.dumps(settings) + '\n')
        shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)
        try:
            yield self
        finally:
            shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)

    def command(self, source: Path, target: Path) -> list[str]:
        """Build the command: one thread, video only, square pixels, the shorter side scaled."""
        side = f'trunc(min({self.short_side},{{}})/2)*2'
        width, height = side.format('iw'), side.format('ih')
        square = "scale='if(eq(sar,1),iw,round(iw*sar))':ih,setsar=1"
        scale = f"scale='if(gt(iw,ih),-2,{width})':'if(gt(iw,ih),{height},-2)'"
        options = ['-nostdin', '-hide_banner', '-nostats', '-loglevel', 'level+info', '-y']
        # file: because a name with a colon would be a protocol; V because v may be a cover picture
        options += ['-threads', '1', '-i', f'file:{source}', '-map', '0:V:0', '-an', '-sn', '-dn']
        # start_time: if the sound begins first, the first picture is shown until the video begins;
        # pass: keeps a frame of a video that is shorter than half a frame of the new rate
        options += [
            '-vf',
            f'fps={self.fps}:start_time=0:round=up:eof_action=pass,{square},{scale}',
            '-c:v',
            'libx264',
            '-pix_fmt',
            'yuv420p',
        ]
        options += ['-threads', '1', '-movflags', '+faststart', '-f', 'mp4', f'file:{target}']
        return [self.ffmpeg, *options]

    def __call__(self, item: Compression) -> Path | Failure:
        """Compress one video and check it; its file appears once it is complete."""
        unfinished = self.folder / UNFINISHED / f'{os.getpid()}.mp4'
        unfinished.parent.mkdir(exist_ok=True)
        if item.source.exists() and not item.source.is_file():
            return Failure('it is no regular file')
        done = subprocess.run(
            self.command(item.source, unfinished),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors='backslashreplace',
            preexec_fn=die_with_parent if sys.platform == 'linux' else None,
            check=False,
        )
        try:
            errors = _errors(done.stderr).replace(f'file:{item.source}: ', '')
            if done.returncode < 0:
                return Failure(f'ffmpeg was killed by signal {-done.returncode}')
            if done.returncode:
                return Failure(f'ffmpeg failed{errors or f" with exit code {done.returncode}"}')
            if problem := self._problem(item.source, unfinished, done.stderr):
                return Failure(problem)
            item.target.parent.mkdir(parents=True, exist_ok=True)
            move_into_place(unfinished, item.target)
            return item.target
        finally:
            unfinished.unlink(missing_ok=True)

    def _problem(self, source: Path, result: Path, log: str) -> str | None:
        """Return why the result is not a complete version of the source, or None."""
        try:
            seconds = video_seconds(result)
        except UnreadableVideoError as error:
            return f'the result is unreadable: {error.reason}'
        except DECODING_ERRORS as error:
            return f'the result is unreadable: {unreadable_reason(str(result), error)}'
        stated = [
            float(h) * 3600 + float(m) * 60 + float(s) for h, m, s in DURATION_LINE.findall(log)
        ]
        if not stated or _is_close(seconds, stated[0]):
            return None
        errors = _errors(log)
        try:  # without an error, the stated length is that of a longer sound track
            if not errors and _is_close(seconds, video_seconds(source)):
                return None
        except DECODING_ERRORS:
            pass
        return f'only {seconds:.1f} of {stated[0]:.1f} seconds could be read{errors}'


def video_seconds(path: Path) -> float:
    """Return the length of a video after reading its first and last frame."""
    reader = GuardedVideoReader(str(path))
    reader.get_batch([0, len(reader) - 1])
    return reader.seconds


def _is_close(seconds: float, expected: float) -> bool:
    return abs(seconds - expected) <= max(TOLERANCE_SECONDS, TOLERANCE_SHARE * expected)


def _errors(log: str) -> str:
    """Return the first and the last error in ffmpeg's log."""
    errors = [ADDRESS.sub('', text).strip() for text in ERROR_LINE.findall(log)]
    return ': ' + '; '.join(dict.fromkeys([errors[0], errors[-1]])) if errors else ''
