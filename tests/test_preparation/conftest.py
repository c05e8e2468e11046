"""Miniature data sets and their preparation."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ts2net_mm.preparation import prepare


@pytest.fixture
def edit(tmp_path, miniatures) -> Callable[..., Path]:
    """Function that makes the official files of a data set and replaces or removes one of them."""

    def make(name: str, file: str, content: object) -> Path:
        folder = miniatures.MAKERS[name](tmp_path / name).annotations
        if content is None:
            (folder / file).unlink()
        elif isinstance(content, bytes):
            (folder / file).write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / file).write_text(text, encoding='utf-8')
        return folder

    return make


@pytest.fixture(scope='module')
def prepared(miniatures, tmp_path_factory) -> Callable[..., SimpleNamespace]:
    """Function that prepares a miniature data set and reads what was written."""

    def run(name: str, read: Callable, **options) -> SimpleNamespace:
        root = tmp_path_factory.mktemp(name)
        mini = miniatures.MAKERS[name](root)
        out = root / 'out'
        result = prepare(read(mini.annotations), videos=mini.videos, out=out, **options)
        content = {path.stem: json.loads(path.read_text('utf-8')) for path in out.glob('*.json')}
        lists = {path.stem: path.read_text('utf-8').split('\n')[:-1] for path in out.glob('*.txt')}
        return SimpleNamespace(
            mini=mini,
            out=out,
            result=result,
            lists=lists,
            summary=content.pop('summary'),
            **content,
        )

    return run
