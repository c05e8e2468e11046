"""What tests of several packages need."""

import importlib.util
import json
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from browsing import TIMEOUT
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from ts2net_mm.datasets import TextVideoDataset

os.environ.setdefault('GRPC_ENABLE_FORK_SUPPORT', '0')  # read when tests of Milvus import gRPC

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')

# A shell starts background commands with SIGINT ignored, and so would be what the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _mmaction_scope():
    """Let no test depend on the scope that another has left; fresh processes test having none."""
    init_default_scope('mmaction')


@pytest.fixture
def log_records():
    """The records that the current MMEngine logger gets, which pytest's caplog does not see."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


@pytest.fixture(scope='session')
def load_tool() -> Callable[[str], ModuleType]:
    """Function that imports a file of tools/."""

    def load(name: str) -> ModuleType:
        path = Path(__file__).parents[1] / 'tools' / name
        module_name = 'tool_' + name.removesuffix('.py').replace('/', '_')
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # worker processes and dataclasses look there
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope='session')
def miniatures(load_tool) -> ModuleType:
    """Makers of miniature copies of the official files of each data set, with short videos."""
    return load_tool('data/miniatures.py')


@pytest.fixture(scope='session')
def sources(tmp_path_factory) -> Path:
    """A copy of the sources, without what git ignores."""
    root = Path(__file__).parents[1]
    folder = tmp_path_factory.mktemp('sources')
    ignored = shutil.ignore_patterns('__pycache__', '.mim')
    for path in root.iterdir():
        if path.name in ('ts2net_mm', 'tests', 'tools', 'configs', 'docs', 'requirements', '.ci'):
            shutil.copytree(path, folder / path.name, ignore=ignored)
        elif path.is_file():
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope='session')
def build(sources) -> Callable[[str], Path]:
    """Function that builds a 'wheel' or an 'sdist' of the sources."""
    pytest.importorskip('setuptools', minversion='70.1', reason='older ones need wheel besides')

    @cache
    def build(kind: str) -> Path:
        code = f"from setuptools.build_meta import build_{kind} as build; build('out/{kind}')"
        done = subprocess.run(
            [sys.executable, '-c', code], cwd=sources, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        (path,) = (sources / 'out' / kind).iterdir()
        return path

    return build


@pytest.fixture(scope='session')
def wheel(build) -> Path:
    """A wheel of the sources."""
    return build('wheel')


@pytest.fixture
def quick_runs(monkeypatch) -> None:
    """Runs that do not format their config or look the machine over, which takes seconds."""
    monkeypatch.setattr(Config, 'pretty_text', property(repr))
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)


RUN_SCRIPT = """
import os, runpy, sys
os.environ.update(environment)
sys.stdout = sys.stderr = open(log, 'a', buffering=1)
os.dup2(sys.stdout.fileno(), 1)
os.dup2(sys.stdout.fileno(), 2)
sys.argv = [script, *arguments]
sys.path[:0] = [path for path in environment.get('PYTHONPATH', '').split(':') if path]
runpy.run_path(script, run_name='__main__')
"""


@pytest.fixture(scope='session')
def start_script() -> Callable[..., BaseProcess]:
    """Function that runs a script in a process of its own, with the long imports already made."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['ts2net_mm.parts', 'mmengine.runner', 'open_clip', 'decord'])

    def start(
        script: Path, *arguments: object, log: Path, environment: Mapping[str, str]
    ) -> BaseProcess:
        values = dict(
            environment=dict(environment, OMP_NUM_THREADS='1'),
            log=str(log),
            script=str(script),
            arguments=[str(argument) for argument in arguments],
        )
        process = context.Process(target=exec, args=(RUN_SCRIPT, values))
        process.start()
        return process

    return start


@pytest.fixture(scope='session')
def stop_program() -> Callable[..., tuple[int, str]]:
    """Function that starts a program, sends a signal, and checks that no process is left of it."""

    def stop(
        command: Sequence[object], how: int, *, when: Callable[[], bool], path: str = ''
    ) -> tuple[int, str]:
        root = Path(__file__).parents[1]
        paths = [str(root), *filter(None, [os.environ.get('PYTHONPATH')])]
        environment = os.environ | {'PYTHONPATH': os.pathsep.join(paths)}
        environment['PATH'] = os.pathsep.join(filter(None, [path, environment['PATH']]))
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not when():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        if how == signal.SIGINT:  # as a terminal does, to the whole group
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        _, errors = process.communicate(timeout=60)
        while processes_of_session(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return process.returncode, errors

    return stop


def processes_of_session(session: int) -> list[int]:
    """Processes that still run."""
    members = []
    for status in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = status.read_text().rsplit(')', 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != 'Z':
            members.append(int(status.parent.name))
    return members


@pytest.fixture(scope='module')
def browser():
    """A headless Chromium, as playwright opens it."""
    playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    playwright.expect.set_options(timeout=1000 * TIMEOUT)
    with playwright.sync_playwright() as library:
        found = next(filter(None, map(shutil.which, BROWSERS)), None)
        path = found or library.chromium.executable_path
        if not Path(path).exists():
            pytest.skip('no Chromium is installed (Debian: apt-get install chromium)')
        browser = library.chromium.launch(executable_path=path, args=['--no-sandbox'])
        yield browser
        browser.close()


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


@pytest.fixture(scope='session')
def run_together(start_script) -> Callable[..., None]:
    """Function that runs a script once for each of several lists of arguments, all at a time.

    On a busy machine even the imports of a fresh process may take minutes, so the processes have
    theirs made, and the limit is one for processes that hang. The first that fails ends the others.
    """

    def run(
        script: Path,
        arguments: Sequence[Sequence[object]],
        log: Path,
        environments: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        settings = environments or [{}] * len(arguments)
        processes = [
            start_script(script, *one, log=log, environment=environment)
            for one, environment in zip(arguments, settings, strict=True)
        ]
        running = {process.sentinel: process for process in processes}
        deadline = time.monotonic() + 900
        try:
            while running:
                ended = connection.wait(running, timeout=deadline - time.monotonic())
                codes = [process.exitcode for process in processes]
                assert ended, f'no end after 15 minutes, exit codes {codes}: {log_of(log)}'
                for sentinel in ended:
                    process = running.pop(sentinel)
                    process.join()
                    assert process.exitcode == 0, f'{process.exitcode}: {log_of(log)}'
        finally:
            for process in processes:
                process.kill()

    return run


def log_of(path: Path) -> str:
    return path.read_text()[-3000:] if path.is_file() else 'no output'
