"""Videos as folders of pictures, such as ffmpeg extracts them."""

import os

from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...video.errors import UnreadableVideoError
from ...video.video_files import FILENAME_TEMPLATE, frame_numbers

__all__ = ['FrameFolderInit']


@TRANSFORMS.register_module()
class FrameFolderInit(BaseTransform):
    """Count the pictures of a folder, in place of opening a video; ``RawFrameDecode`` reads them.

    They are numbered without a gap, from 0 or 1 or any other number.

    Required keys: filename (the folder); optional: fps. Added keys: total_frames, avg_fps,
    frame_dir, filename_tmpl, offset, modality.

    Args:
        fps: Pictures per second of video. A field ``fps`` in the annotation of a video goes before.
        filename_tmpl: Name of a picture, with its number in braces.

    Raises:
        UnreadableVideoError: If there are no such pictures, or some are missing.
        ValueError: If there is no frame rate, or a setting makes no sense.
    """

    def __init__(self, *, fps: float | None = None, filename_tmpl: str = FILENAME_TEMPLATE) -> None:
        if fps is not None and not fps > 0:
            raise ValueError(f'fps={fps} must be positive')
        try:
            is_numbered = filename_tmpl.format(1) != filename_tmpl.format(2)
        except (IndexError, KeyError, ValueError):
            is_numbered = False
        if not is_numbered or os.path.basename(filename_tmpl) != filename_tmpl:
            raise ValueError(
                f'filename_tmpl={filename_tmpl!r}, expected a file name with the number in braces, '
                f'such as {FILENAME_TEMPLATE!r}'
            )
        self.fps = fps
        self.filename_tmpl = filename_tmpl

    def transform(self, results: dict) -> dict:
        """Add what the folder shows."""
        folder = results['filename']
        fps = results.get('fps', self.fps)
        if not isinstance(fps, int | float) or isinstance(fps, bool) or not fps > 0:
            raise ValueError(
                f'the frame rate of {folder} is {fps!r}, expected a positive number: set fps of '
                'FrameFolderInit, or a field "fps" in the annotation of the video'
            )
        names = os.listdir(folder)
        numbers = frame_numbers(names, self.filename_tmpl)
        if not numbers:
            example = self.filename_tmpl.format(1)
            found = f'it holds {min(names)}' if names else 'it is empty'
            raise UnreadableVideoError.of(folder, f'no picture is named like {example}, {found}')
        missing = set(range(numbers[0], numbers[-1])).difference(numbers)
        if missing:
            first = self.filename_tmpl.format(min(missing))
            raise UnreadableVideoError.of(
                folder, f'{len(missing)} pictures are missing, the first is {first}'
            )
        results['total_frames'] = len(numbers)
        results['avg_fps'] = float(fps)
        results['frame_dir'] = folder
        results['filename_tmpl'] = self.filename_tmpl
        results['offset'] = numbers[0]
        results['modality'] = 'RGB'
        return results

    def __repr__(self) -> str:
        """Show the settings."""
        return f'{type(self).__name__}(fps={self.fps}, filename_tmpl={self.filename_tmpl!r})'
