import os

import pytest

from ts2net_mm.utils.files import (
    check_folder,
    ensure_folder,
    ensure_writable,
    making_folder,
    replacing,
    write_text,
)


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / 'new' / 'file.pth'
    write_text(path, 'größer')
    with replacing(path) as temporary:
        temporary.write_text('newer')
        assert path.read_text(encoding='utf-8') == 'größer'
    assert path.read_text() == 'newer'
    assert [entry.name for entry in path.parent.iterdir()] == ['file.pth']


def test_an_interruption_changes_nothing(tmp_path):
    path = tmp_path / 'file.pth'
    path.write_text('old')
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text('half of the n')
        raise KeyboardInterrupt
    assert path.read_text() == 'old'
    assert [entry.name for entry in tmp_path.iterdir()] == ['file.pth']


def test_a_folder_is_complete_or_missing(tmp_path):
    path = tmp_path / 'new' / 'folder'
    with pytest.raises(KeyboardInterrupt), making_folder(path) as temporary:
        (temporary / 'half').touch()
        raise KeyboardInterrupt
    assert not list(path.parent.iterdir())
    path.mkdir()  # an empty folder is replaced
    with making_folder(path) as temporary:
        (temporary / 'whole').touch()
        assert not list(path.iterdir())
    assert [entry.name for entry in tmp_path.rglob('*')] == ['new', 'folder', 'whole']
    with pytest.raises(FileExistsError, match='no empty folder'), making_folder(path):
        pass


def test_files_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    assert ensure_writable(tmp_path / 'new' / 'page.html', 'page').parent.is_dir()
    with pytest.raises(IsADirectoryError, match=r'page .*new is a folder, expected a file name'):
        ensure_writable(tmp_path / 'new', 'page')
    with pytest.raises(OSError, match=r'folder of the page .*file cannot be made: File exists'):
        ensure_writable(tmp_path / 'file' / 'page.html', 'page')
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(PermissionError, match=r'cache folder .* cannot be written'):
        ensure_folder(tmp_path, 'cache folder')


def test_a_folder_is_checked_and_not_made(tmp_path):
    assert check_folder(tmp_path / 'a/b', 'index folder') == tmp_path / 'a/b'
    assert not list(tmp_path.iterdir())
    (tmp_path / 'file').touch()
    for path in ('file', 'file/b'):
        with pytest.raises(NotADirectoryError, match=f'^index folder .*/{path} cannot be made: '):
            check_folder(tmp_path / path, 'index folder')
