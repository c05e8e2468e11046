"""Take the test pipeline of a config apart: videos go one way, sentences another."""

from collections.abc import Sequence

from mmaction.registry import TRANSFORMS
from mmengine.config import Config

from ..datasets import FrameFolderInit, VideoInit
from ..datasets.stored_steps import decoding_pipeline
from ..utils.config_types import type_name

__all__ = ['frame_template', 'split_test_pipeline', 'with_threads']

TEXT_TRANSFORM = 'TokenizeCaptions'
TIMEOUT = 60.0  # seconds for opening a video, and again for decoding its frames


def split_test_pipeline(cfg: Config) -> tuple[list[dict], dict]:
    """Return the test pipeline for videos alone, and the transform that reads sentences.

    Decoding is guarded, as in the training configs, whatever the config says, and pixels are square
    unless the config says otherwise.

    Raises:
        ValueError: If the config has no test pipeline, or that one does not tokenise captions.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    pipeline = dataset.get('pipeline') or cfg.get('test_pipeline')
    if not pipeline:
        raise ValueError(f'config {cfg.filename} has no test pipeline')
    video_pipeline, text_transform = [], None
    for transform in decoding_pipeline(pipeline):  # other videos are in no frame store
        transform = dict(transform)
        if type_name(transform) == TEXT_TRANSFORM:
            text_transform = transform
            continue
        if type_name(transform) == 'DecordInit' and transform.get('io_backend', 'disk') == 'disk':
            # the same frames, but a video that hangs or crashes the decoder is left behind
            threads = transform.get('num_threads', 1)
            transform = dict(type='GuardedDecordInit', timeout=TIMEOUT, num_threads=threads)
        elif _is_video_init(transform) and transform.get('decoder', 'pyav') == 'pyav':
            transform.setdefault('square_pixels', True)
        if 'text' in (keys := transform.get('collect_keys') or ()):
            transform['collect_keys'] = tuple(key for key in keys if key != 'text')
        video_pipeline.append(transform)
    if text_transform is None:
        raise ValueError(
            f'the test pipeline of config {cfg.filename} has no {TEXT_TRANSFORM}, '
            f'found {[type_name(transform) for transform in pipeline]}'
        )
    return video_pipeline, text_transform


def with_threads(pipeline: Sequence[dict], num_threads: int) -> list[dict]:
    """Let each video be decoded by several threads, unless the config says by how many.

    Several processes share the cores, so it is not part of the pipeline that a gallery stands for.
    """
    return [
        dict(num_threads=num_threads) | step if _is_video_init(step) else step for step in pipeline
    ]


def _is_video_init(transform: dict) -> bool:
    return type_name(transform) == VideoInit.__name__


def frame_template(pipeline: Sequence[dict]) -> str:
    """Name of a picture where videos are folders of pictures; empty where they are files."""
    for transform in pipeline:
        if type_name(transform) == FrameFolderInit.__name__:
            return TRANSFORMS.build(transform).filename_tmpl
    return ''
