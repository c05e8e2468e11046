"""Tiny videos, their annotations and data sets."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope

from ts2net_mm.datasets import TextVideoDataset


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmaction')


@pytest.fixture
def videos(tmp_path) -> Path:
    """An empty folder for videos."""
    folder = tmp_path / 'videos'
    folder.mkdir()
    return folder


@pytest.fixture
def write_video(videos) -> Callable[..., Path]:
    """Function that writes a video of which frame i is grey of level 10 + 4 i."""

    def write(name: str, num_frames: int = 24, fps: int = 12) -> Path:
        path = videos / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, (64, 48))
        for number in range(num_frames):
            writer.write(np.full((48, 64, 3), 10 + 4 * number, dtype=np.uint8))
        writer.release()
        return path

    return write


@pytest.fixture
def write_annotation(tmp_path) -> Callable[..., str]:
    """Function that writes an annotation file, from an object or as the given text."""

    def write(content: object) -> str:
        path = tmp_path / 'annotation.json'
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding='utf-8')
        return str(path)

    return write


@pytest.fixture
def make_dataset(videos, write_annotation) -> Callable[..., TextVideoDataset]:
    """Function that makes a data set of an annotation; its items are not processed by default."""

    def make(annotation: object, pipeline: tuple = (), **settings) -> TextVideoDataset:
        return TextVideoDataset(
            ann_file=write_annotation(annotation),
            data_prefix=dict(video=str(videos)),
            pipeline=pipeline,
            **settings,
        )

    return make
