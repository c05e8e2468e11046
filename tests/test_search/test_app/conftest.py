"""A tiny model, its index of six playable videos, and the app that searches it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient
from tiny import make_project, write_h264

from ts2net_mm.apis import RetrievalInferencer
from ts2net_mm.apis.inferencer import build_model, load_config
from ts2net_mm.search import Description, Layout, VideoEntry, VideoStore
from ts2net_mm.search.app import create_app
from ts2net_mm.search.encoding import encode_files
from ts2net_mm.search.windows import Windowing
from ts2net_mm.video.video_files import find_videos

ADDRESS = 'http://127.0.0.1:8000'


@pytest.fixture(scope='session')
def model(tmp_path_factory) -> RetrievalInferencer:
    folder = make_project(tmp_path_factory.mktemp('model'), num_videos=0)
    torch.manual_seed(0)
    network = build_model(load_config(folder / 'config.py'))
    state_dict = {
        key: value if value.dim() == 0 else 0.3 * torch.randn_like(value)
        for key, value in network.state_dict().items()
    }
    torch.save(dict(state_dict=state_dict), folder / 'weights.pth')
    return RetrievalInferencer(folder / 'config.py', folder / 'weights.pth', device='cpu')


@pytest.fixture(scope='session')
def encoded(model, tmp_path_factory) -> dict[str, tuple[bytes, VideoEntry]]:
    """Content and entry of each video by its name; each has five windows of 1.5 seconds."""
    folder = tmp_path_factory.mktemp('encoded')
    for number in range(6):
        write_h264(folder / f'{number}.mp4', seed=number)
    entries = encode_files(find_videos(folder), model, windowing=Windowing(1.5), num_workers=1)
    return {
        os.path.basename(entry.path): (Path(entry.path).read_bytes(), entry) for entry in entries
    }


class Project:
    """A folder of videos and its index."""

    def __init__(self, folder: Path, fingerprint: str, encoded) -> None:
        self.videos = folder / 'videos'
        self.index = folder / 'index'
        self.fingerprint = fingerprint
        self.encoded = encoded
        self.score = dict(type='frame_weighted', temperature=4.0)

    def add(self, name: str, *, source: str) -> Path:
        """Write a video and add it to the index; with the content of an encoded one."""
        content, entry = self.encoded[source]
        path = Path(os.path.normpath(self.videos / name))
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(content)
        layout = Layout(*entry.windows.features.shape[1:])
        description = Description(self.fingerprint, layout, self.score, model='tiny')
        status = path.stat()
        entry = replace(entry, path=str(path), size=status.st_size, mtime_ns=status.st_mtime_ns)
        with VideoStore.create(self.index, description).writer() as writer:
            writer.add([entry])
        return path


@pytest.fixture(scope='session')
def new_project(model, encoded):
    """Function that makes a project in a folder."""

    def new(folder: Path) -> Project:
        project = Project(folder, model.fingerprint, encoded)
        for name in encoded:
            project.add(name, source=name)
        return project

    return new


@pytest.fixture
def project(tmp_path, new_project) -> Project:
    return new_project(tmp_path)


@pytest.fixture
def uploads_folder(tmp_path, monkeypatch) -> Path:
    """Where uploaded files lie while they are read."""
    folder = tmp_path / 'temporary'
    folder.mkdir()
    monkeypatch.setattr('tempfile.tempdir', os.fspath(folder))
    return folder


@pytest.fixture
def make_client(project, model):
    """Function that returns a client of the app with some settings."""

    def make(**settings) -> TestClient:
        app = create_app(model, project.index, **settings)
        return TestClient(app, base_url=ADDRESS, follow_redirects=False)

    return make


@pytest.fixture
def client(make_client) -> TestClient:
    return make_client()
