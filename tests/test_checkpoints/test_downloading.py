"""Names and addresses, without network: the download is replaced, or a local server answers."""

import hashlib
import http.server
import threading
from functools import partial
from pathlib import Path

import pytest
import torch

from ts2net_mm.checkpoints import downloading, read_state_dict
from ts2net_mm.checkpoints.downloading import CLIP_NAMES, fetch, is_url

NAME = 'ViT-B/32'


@pytest.fixture
def small_clip(monkeypatch) -> bytes:
    """Content that stands for OpenAI's file."""
    content = b'weights of OpenAI'
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(downloading._OPENAI, NAME, ('ViT-B-32.pt', digest))
    return content


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A local server over a folder, and a hub folder of torch's own."""
    folder = tmp_path / 'served'
    folder.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, 'log_message', lambda *_: None)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f'http://127.0.0.1:{running.server_address[1]}'
        running.shutdown()


def test_names_of_openai_agree_with_open_clip():
    """Each address holds the file's SHA-256; open_clip lists the same ones."""
    from open_clip import get_pretrained_url

    models = ('ViT-B-32', 'ViT-B-16', 'ViT-L-14', 'ViT-L-14-336')
    for name, model in zip(CLIP_NAMES, models, strict=True):
        file, digest = downloading._OPENAI[name]
        assert get_pretrained_url(model, 'openai') == f'{downloading._SERVER}/{digest}/{file}'


def test_a_name_is_downloaded_once(server, small_clip, tmp_path, monkeypatch):
    folder, address = server
    monkeypatch.setattr(downloading, '_SERVER', address)
    place = folder / downloading._OPENAI[NAME][1]
    place.mkdir()
    (place / 'ViT-B-32.pt').write_bytes(small_clip)
    path = fetch(NAME, cache_dir=tmp_path / 'cache')
    assert path.read_bytes() == small_clip
    (place / 'ViT-B-32.pt').unlink()
    assert fetch(NAME, cache_dir=tmp_path / 'cache') == path


def test_a_file_put_there_by_hand(small_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, 'CLIP_CACHE', tmp_path)
    (tmp_path / 'ViT-B-32.pt').write_bytes(small_clip)
    assert fetch(NAME) == tmp_path / 'ViT-B-32.pt'


def test_another_hash(small_clip, tmp_path):
    (tmp_path / 'ViT-B-32.pt').write_bytes(b'something else')
    with pytest.raises(
        ValueError, match=r'ViT-B-32\.pt has SHA-256 \w{64}, OpenAI.* \w{64}: delete'
    ):
        fetch(NAME, cache_dir=tmp_path)


def test_a_damaged_download_leaves_nothing(server, small_clip, tmp_path, monkeypatch):
    folder, address = server
    monkeypatch.setattr(downloading, '_SERVER', address)
    place = folder / downloading._OPENAI[NAME][1]
    place.mkdir()
    (place / 'ViT-B-32.pt').write_bytes(b'damaged')
    with pytest.raises(FileNotFoundError, match='invalid hash value'):
        fetch(NAME, cache_dir=tmp_path / 'cache')
    assert list((tmp_path / 'cache').iterdir()) == []


def test_without_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    def unreachable(url, dst, **_):
        raise OSError('Network is unreachable')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', unreachable)
    expected = (
        rf'40d365.*/ViT-B-32\.pt cannot be downloaded \(OSError: Network is unreachable\); '
        rf'put that file at {tmp_path}/ViT-B-32\.pt'
    )
    with pytest.raises(FileNotFoundError, match=expected):
        fetch(NAME, cache_dir=tmp_path)


def test_another_process_failed_to_download(tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, 'get_local_rank', lambda: 1)
    with pytest.raises(FileNotFoundError, match=r'was not downloaded; put that file at'):
        fetch(NAME, cache_dir=tmp_path)


def test_addresses_with_one_file_name(server, openai):
    folder, address = server
    for name, part in (('a', 'ln_final.bias'), ('b', 'ln_final.weight')):
        (folder / name).mkdir()
        torch.save({part: openai[part]}, folder / name / 'pytorch_model.bin')
    assert set(read_state_dict(f'{address}/a/pytorch_model.bin')) == {'ln_final.bias'}
    assert set(read_state_dict(f'{address}/b/pytorch_model.bin?download=true')) == {
        'ln_final.weight'
    }


def test_a_missing_address(server):
    _, address = server
    with pytest.raises(FileNotFoundError, match='no.pth cannot be downloaded .*404'):
        read_state_dict(f'{address}/no.pth')


def test_what_is_an_address(tmp_path):
    assert is_url('https://example.org/x.pth') and is_url('s3://bucket/x.pth')
    assert not is_url('ViT-B/32') and not is_url(tmp_path) and not is_url(Path('C:/x.pth'))
