"""A tiny model, its index of six playable videos, and the app that searches it."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from starlette.testclient import TestClient
from tiny import make_project

from ts2net_mm.apis import RetrievalInferencer
from ts2net_mm.apis.inferencer import build_model, load_config
from ts2net_mm.search import Description, Layout, VideoEntry, VideoStore, WindowFeatures
from ts2net_mm.search.app import create_app

SECONDS, RATE = 4, 10
ADDRESS = 'http://127.0.0.1:8000'


def write_h264(path: Path, *, seed: int) -> None:
    """Write a video of noise blocks that browsers play, with a key frame each second."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=RATE, options=dict(g=str(RATE)))
        stream.width, stream.height, stream.pix_fmt = 160, 128, 'yuv420p'
        for _ in range(SECONDS * RATE):
            blocks = rng.integers(0, 255, (4, 5, 3), np.uint8).repeat(32, 0).repeat(32, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(blocks, 'rgb24')))
        container.mux(stream.encode())


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
def encoded(model, tmp_path_factory) -> dict[str, tuple[bytes, WindowFeatures]]:
    """Content and windows of each video by its name: the whole video, and its second half."""
    folder = tmp_path_factory.mktemp('encoded')
    names = [f'{number}.mp4' for number in range(6)]
    for number, name in enumerate(names):
        write_h264(folder / name, seed=number)
    (batch,) = model.encode_videos([folder / name for name in names], num_workers=1)
    found = {}
    for name, *tensors in zip(
        names, batch.frame_features, batch.frame_mask, batch.frame_seconds, strict=True
    ):
        features, mask, seconds = (tensor.numpy() for tensor in tensors)
        windows = WindowFeatures(
            starts=np.array([0.0, 2.0]),
            ends=np.array([2.0, 4.0]),
            features=np.stack([features, np.random.default_rng(1).permuted(features, axis=1)]),
            frame_mask=np.stack([mask, mask]),
            frame_seconds=np.stack([seconds, 2 + seconds / 2]),
        )
        found[name] = ((folder / name).read_bytes(), windows)
    return found


class Project:
    """A folder of videos and its index."""

    def __init__(self, folder: Path, fingerprint: str, encoded) -> None:
        self.videos = folder / 'videos'
        self.index = folder / 'index'
        self.fingerprint = fingerprint
        self.encoded = encoded

    def add(self, name: str, *, source: str) -> Path:
        """Write a video and add it to the index; with the content of an encoded one."""
        content, windows = self.encoded[source]
        path = self.videos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(content)
        layout = Layout(*windows.features.shape[1:])
        score = dict(type='frame_weighted', temperature=4.0)
        description = Description(self.fingerprint, layout, score, model='tiny')
        status = path.stat()
        entry = VideoEntry(str(path), status.st_size, status.st_mtime_ns, SECONDS, windows)
        with VideoStore.create(self.index, description).writer() as writer:
            writer.add([entry])
        return path


@pytest.fixture
def project(tmp_path, model, encoded) -> Project:
    project = Project(tmp_path, model.fingerprint, encoded)
    for name in encoded:
        project.add(name, source=name)
    return project


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
