import dataclasses
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ts2net_mm.apis import gallery_file
from ts2net_mm.apis.gallery_file import (
    EncodedVideo,
    GalleryContent,
    default_cache_dir,
    gallery_path,
    read_gallery_file,
    write_gallery_file,
)

VIDEOS = {
    name: EncodedVideo(
        size=index,
        mtime_ns=1_700_000_000_000_000_001 + index,
        features=torch.randn(3, 4),
        frame_mask=torch.tensor([True, index % 2 == 0, False]),
        frame_seconds=torch.tensor([0.0, 1.5, float('nan')]),
    )
    for index, name in enumerate(['a.mp4', 'ü\n日本.mp4', 'bad\udcff.mp4'])
}

CONTENT = GalleryContent(VIDEOS, {'notes\udcff.txt': (7, 1_700_000_000_000_000_009)})


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / 'gallery.safetensors'


def test_what_is_written_is_read(path):
    write_gallery_file(path, 'model', CONTENT)
    content = read_gallery_file(path, 'model')
    videos = content.videos
    assert content.others == CONTENT.others
    assert list(videos) == list(VIDEOS)
    for name, video in videos.items():
        assert (video.size, video.mtime_ns) == (VIDEOS[name].size, VIDEOS[name].mtime_ns)
        assert torch.equal(video.features, VIDEOS[name].features)
        assert torch.equal(video.frame_mask, VIDEOS[name].frame_mask)
        assert video.frame_seconds[:2].tolist() == [0, 1.5]
    assert os.listdir(path.parent) == [path.name]


def test_no_file_no_videos(path, caplog):
    assert read_gallery_file(path, 'model') == GalleryContent()
    assert caplog.text == ''


def test_no_videos_no_file(path):
    write_gallery_file(path, 'model', CONTENT)
    write_gallery_file(path, 'model', GalleryContent())
    assert not path.exists()


@pytest.mark.parametrize('content', [b'', b'text', bytes(100)])
def test_a_damaged_file_counts_as_empty(path, caplog, content):
    path.write_bytes(content)
    assert read_gallery_file(path, 'model') == GalleryContent()
    assert 'cannot be used and are made anew' in caplog.text


def test_a_file_of_another_model_counts_as_empty(path, caplog):
    write_gallery_file(path, 'model', CONTENT)
    assert read_gallery_file(path, 'other') == GalleryContent()
    assert 'another format or model' in caplog.text


def rewrite(path, **changes):
    """Exchange tensors of the file and leave its index as it is."""
    with safe_open(path, framework='pt') as file:
        index = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file({name: changes.get(name, lambda t: t)(t) for name, t in tensors.items()}, path, index)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        (dict(frame_features=lambda t: t[..., :3].clone()), 'its checksum is wrong'),
        (
            dict(frame_features=lambda t: t[:2].clone()),
            'shape (2, 3, 4), expected (3, 3) x channels',
        ),
        (
            dict(frame_mask=lambda t: t[:, :2].clone()),
            'shape (3, 3, 4), expected (3, 2) x channels',
        ),
        (dict(frame_seconds=lambda t: t[:, :2].clone()), 'masks or times do not belong'),
        (dict(frame_features=lambda t: t + 1e-3), 'its checksum is wrong'),
    ],
)
def test_tensors_that_were_not_written_so(path, caplog, changes, reason):
    write_gallery_file(path, 'model', CONTENT)
    rewrite(path, **changes)
    assert read_gallery_file(path, 'model') == GalleryContent()
    assert reason in caplog.text


def test_features_that_are_not_finite_are_made_anew(path, caplog):
    bad = dataclasses.replace(VIDEOS['a.mp4'], features=torch.full((3, 4), float('nan')))
    write_gallery_file(path, 'model', GalleryContent(VIDEOS | {'a.mp4': bad}))
    assert read_gallery_file(path, 'model') == GalleryContent()
    assert 'it holds features that are not finite' in caplog.text


@pytest.mark.parametrize('error', [OSError('disk full'), SafetensorError('disk full')])
def test_a_write_that_fails_leaves_the_old_file_alone(path, monkeypatch, error):
    write_gallery_file(path, 'model', CONTENT)
    before = path.read_bytes()

    def fail(tensors, target, metadata):
        Path(target).write_bytes(b'half')
        raise error

    monkeypatch.setattr(gallery_file, 'save_file', fail)
    with pytest.raises(OSError, match='disk full'):
        write_gallery_file(path, 'model', GalleryContent(dict(list(VIDEOS.items())[:1])))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_each_folder_and_model_has_its_file(tmp_path):
    paths = {
        gallery_path(tmp_path / folder, model, tmp_path)
        for folder in ('a', 'b')
        for model in ('x', 'y')
    }
    assert len(paths) == 4
    assert gallery_path(tmp_path / 'b' / '..' / 'a', 'x', tmp_path) in paths


def test_the_default_place(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert default_cache_dir() == tmp_path / 'ts2net_mm'
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    assert default_cache_dir() == tmp_path / 'home' / '.cache' / 'ts2net_mm'


def test_a_cache_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'cache folder .*file cannot be made: File exists'):
        gallery_path(tmp_path, 'model', tmp_path / 'file')


def test_a_cache_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(PermissionError, match='cache folder .* cannot be written'):
        gallery_path(tmp_path, 'model', tmp_path)
