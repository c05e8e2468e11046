"""The command line of the app."""

import os
import re
import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest
import torch
from index_data import describe
from tiny import ROOT, make_project

from ts2net_mm.apis.inferencer import RetrievalInferencer, build_model, load_config
from ts2net_mm.search import VideoStore


@pytest.fixture
def tool(load_tool, monkeypatch):
    monkeypatch.delenv('TS2NET_MM_PASSWORD', raising=False)
    return load_tool('app.py')


@pytest.mark.parametrize('host', ['127.0.0.1', '127.8.8.8', 'localhost', '::1'])
def test_this_computer_needs_no_password(tool, host):
    assert tool.parse_args(['c', 'w', 'i', '--host', host]).password is None


@pytest.mark.parametrize('host', ['0.0.0.0', '::', '192.168.0.2', 'example.org', '127.0.0.1.x'])
def test_others_need_a_password(tool, host, capsys, monkeypatch, tmp_path):
    arguments = ['c', 'w', 'i', '--host', host]
    with pytest.raises(SystemExit) as end:
        tool.parse_args(arguments)
    assert end.value.code == 2
    assert f'others can reach --host {host}: give a password' in capsys.readouterr().err
    monkeypatch.setenv('TS2NET_MM_PASSWORD', 'from the environment')
    assert tool.parse_args(arguments).password == 'from the environment'
    file = tmp_path / 'password'
    file.write_text('päss word\nmore\n')
    with_file = [*arguments, '--password-file', str(file)]
    assert tool.parse_args(with_file).password == 'päss word'


@pytest.mark.parametrize(
    ('content', 'message'),
    [(b'\n', 'has no password'), (b'\xff\xfe', 'cannot be read'), (None, 'cannot be read')],
)
def test_a_password_file_that_cannot_be_used(tool, tmp_path, capsys, content, message):
    file = tmp_path / 'password'
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SystemExit) as end:
        tool.parse_args(['c', 'w', 'i', '--password-file', str(file)])
    assert end.value.code == 2
    assert f'password file {file} {message}' in capsys.readouterr().err


@pytest.fixture
def project(tmp_path):
    """A config, weights and an empty index, as arguments."""
    make_project(tmp_path, num_videos=0)
    config, weights = tmp_path / 'config.py', tmp_path / 'weights.pth'
    torch.save(dict(state_dict=build_model(load_config(config)).state_dict()), weights)
    fingerprint = RetrievalInferencer(config, weights).fingerprint
    VideoStore.create(tmp_path / 'index', describe(fingerprint=fingerprint))
    return [str(config), str(weights), str(tmp_path / 'index')]


def test_missing_files_are_named(tool, project, capsys):
    for place, kind in enumerate(('config', 'checkpoint', 'index')):
        arguments = [*project]
        arguments[place] = '/nowhere'
        assert tool.main(arguments) == 1
        assert f'error: {kind} /nowhere does not exist' in capsys.readouterr().err


def test_a_folder_without_an_index(tool, project, tmp_path, capsys):
    assert tool.main([*project[:2], str(tmp_path)]) == 1
    assert f'error: {tmp_path} is no index' in capsys.readouterr().err


def test_addresses_of_milvus_that_cannot_be_used(tool, project, tmp_path, capsys, monkeypatch):
    pytest.importorskip('pymilvus', reason='pymilvus is not installed')
    pytest.importorskip('milvus_lite', reason='milvus-lite is not installed')
    database = tmp_path / 'nothing.db'
    for address, message in (
        (f'{database}#name', f'index {database} does not exist'),
        (f'{database}#a b', "the name 'a b' in"),
    ):
        assert tool.main([*project[:2], address]) == 1
        assert f'error: {message}' in capsys.readouterr().err
    monkeypatch.setattr(
        'ts2net_mm.utils.cli.find_spec', lambda name: None if name == 'pymilvus' else name
    )
    for address in (database, 'http://localhost:19530'):
        assert tool.main([*project[:2], str(address)]) == 1
        assert f'the index {address} needs pymilvus: pip install' in capsys.readouterr().err


def test_missing_packages_are_named(tool, project, capsys, monkeypatch):
    monkeypatch.setattr('ts2net_mm.utils.cli.find_spec', lambda name: None)
    assert tool.main(project) == 1
    assert "the app needs fastapi, uvicorn: pip install 'ts2net-mm[app]'" in capsys.readouterr().err


def test_a_port_in_use_is_named(tool, project, capsys):
    with tool.listen('127.0.0.1', 0) as other:
        port = other.getsockname()[1]
        assert tool.main([*project, '--port', str(port)]) == 1
    assert (
        f'127.0.0.1 port {port} cannot be used: Address already in use' in capsys.readouterr().err
    )


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(project, number):
    command = [sys.executable, str(ROOT / 'tools/app.py'), *project, '--port', '0']
    environment = os.environ | dict(TS2NET_MM_PASSWORD='')
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        line = process.stdout.readline()
        address = re.match(r'(http://127\.0\.0\.1:\d+/)  ', line)[1]
        with urlopen(address) as page:
            assert b'0 videos, 0 windows' in page.read()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert 'the app has stopped' in errors
    assert 'Traceback' not in errors
