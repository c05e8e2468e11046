import os
import shutil
from pathlib import Path

import pytest
import torch

from ts2net_mm.engine.resuming import checkpoints_to_resume, is_complete, newest_complete


@pytest.fixture
def work_dir(tmp_path) -> Path:
    """Three checkpoints, of which the second is noted as the last."""
    folder = tmp_path / 'work'
    folder.mkdir()
    for time, name in enumerate(('iter_4', 'iter_8', 'iter_12', 'best_t2v_R1_iter_8', 'weights')):
        torch.save(dict(value=torch.full((1000,), time)), folder / f'{name}.pth')
        os.utime(folder / f'{name}.pth', (time, time))
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_8.pth'))
    return folder


def names(paths) -> list[str]:
    return [path.name for path in paths]


def cut(path: Path) -> None:
    times = path.stat()
    path.write_bytes(path.read_bytes()[:-300])
    os.utime(path, (times.st_atime, times.st_mtime))


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b'')


@pytest.mark.parametrize('damage', [cut, flip_a_byte, empty, Path.unlink])
def test_is_complete(work_dir, damage):
    path = work_dir / 'iter_4.pth'
    assert is_complete(path)
    damage(path)
    assert not is_complete(path)


def test_one_that_was_not_noted_any_more_is_the_newest(work_dir):
    assert names(checkpoints_to_resume(work_dir)) == ['iter_12.pth', 'iter_8.pth', 'iter_4.pth']


def test_higher_step_of_an_earlier_run_is_not_the_newest(work_dir):
    os.utime(work_dir / 'iter_12.pth', (0, 0))
    assert names(checkpoints_to_resume(work_dir)) == ['iter_8.pth', 'iter_4.pth']


@pytest.mark.parametrize('note', [None, ''])
def test_without_note_the_latest_file_is_the_newest(work_dir, note):
    (work_dir / 'last_checkpoint').unlink()
    if note is not None:
        (work_dir / 'last_checkpoint').write_text(note)
    os.utime(work_dir / 'iter_4.pth', (9, 9))
    found = names(checkpoints_to_resume(work_dir))
    assert found == ['iter_4.pth', 'iter_12.pth', 'iter_8.pth']


def test_folder_that_was_moved(work_dir, tmp_path):
    moved = tmp_path / 'moved'
    shutil.move(work_dir, moved)
    (moved / 'iter_12.pth').unlink()
    assert newest_complete(moved) == (moved / 'iter_8.pth', [])


def test_folder_that_was_copied(work_dir, tmp_path):
    copy = tmp_path / 'copy'
    shutil.copytree(work_dir, copy)
    (copy / 'iter_12.pth').unlink()
    assert newest_complete(copy) == (copy / 'iter_8.pth', [])


def test_damaged_checkpoints_are_passed_over(work_dir):
    for name in ('iter_12', 'iter_8'):
        cut(work_dir / f'{name}.pth')
    chosen, damaged = newest_complete(work_dir)
    assert chosen == work_dir / 'iter_4.pth'
    assert names(damaged) == ['iter_12.pth', 'iter_8.pth']


def test_noted_checkpoint_is_gone(work_dir):
    (work_dir / 'iter_8.pth').unlink()
    assert newest_complete(work_dir) == (work_dir / 'iter_12.pth', [])


def test_no_checkpoint(tmp_path):
    assert newest_complete(tmp_path) == (None, [])


def test_all_damaged(work_dir):
    for path in work_dir.glob('iter_*.pth'):
        cut(path)
    message = r'all checkpoints of .*work are damaged: iter_12\.pth, iter_8\.pth, iter_4\.pth'
    with pytest.raises(ValueError, match=message):
        newest_complete(work_dir)
