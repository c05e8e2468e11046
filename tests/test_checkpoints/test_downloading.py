"""Names and URLs, without network: a local server answers, or the download is replaced."""

import hashlib
import http.server
import threading
from functools import partial

import pytest
import torch

from ts2net_mm.checkpoints import downloading, read_state_dict
from ts2net_mm.checkpoints.downloading import CLIP_NAMES, fetch

NAME, FILE = 'ViT-B/32', 'ViT-B-32.pt'
CONTENT = b'weights of OpenAI'
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The folder and the URL of a local server, which stands for OpenAI's too."""
    folder = tmp_path / 'served'
    (folder / DIGEST).mkdir(parents=True)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, 'log_message', lambda *_: None)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        url = f'http://127.0.0.1:{running.server_address[1]}'
        monkeypatch.setattr(downloading, '_SERVER', url)
        yield folder, url
        running.shutdown()


@pytest.fixture
def small_clip(monkeypatch):
    """Let OpenAI's file be a small one."""
    monkeypatch.setitem(downloading._OPENAI, NAME, (FILE, DIGEST))


def test_names_of_openai_agree_with_open_clip():
    """Each URL contains the file's SHA-256; open_clip lists the same ones."""
    from open_clip import get_pretrained_url

    models = ('ViT-B-32', 'ViT-B-16', 'ViT-L-14', 'ViT-L-14-336')
    for name, model in zip(CLIP_NAMES, models, strict=True):
        file, digest = downloading._OPENAI[name]
        assert get_pretrained_url(model, 'openai') == f'{downloading._SERVER}/{digest}/{file}'


@pytest.mark.usefixtures('small_clip')
def test_a_name_is_downloaded_once(server, tmp_path):
    served = server[0] / DIGEST / FILE
    served.write_bytes(CONTENT)
    path = fetch(NAME, cache_dir=tmp_path / 'cache')
    assert path.read_bytes() == CONTENT
    served.unlink()
    assert fetch(NAME, cache_dir=tmp_path / 'cache') == path


@pytest.mark.usefixtures('small_clip')
def test_a_damaged_download_leaves_nothing(server, tmp_path):
    (server[0] / DIGEST / FILE).write_bytes(b'damaged')
    with pytest.raises(FileNotFoundError, match='invalid hash value'):
        fetch(NAME, cache_dir=tmp_path / 'cache')
    assert list((tmp_path / 'cache').iterdir()) == []


@pytest.mark.usefixtures('small_clip')
def test_a_file_put_there_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, 'CLIP_CACHE', tmp_path)
    (tmp_path / FILE).write_bytes(CONTENT)
    assert fetch(NAME) == tmp_path / FILE
    (tmp_path / FILE).write_bytes(b'something else')
    with pytest.raises(ValueError, match=r'32\.pt has SHA-256 \w{64}, OpenAI.* \w{64}: delete'):
        fetch(NAME)


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


def test_urls_with_the_same_file_name(server, openai):
    folder, url = server
    for name, key in (('a', 'ln_final.bias'), ('b', 'ln_final.weight')):
        (folder / name).mkdir()
        torch.save({key: openai[key]}, folder / name / 'pytorch_model.bin')
        found = read_state_dict(f'{url}/{name}/pytorch_model.bin?download=true')
        assert set(found) == {key}
    with pytest.raises(FileNotFoundError, match='no.pth cannot be downloaded .*404'):
        read_state_dict(f'{url}/no.pth')
