"""tools/data/store_frames.py as a user runs it: what it says, interrupted, killed, run twice."""

import os
import signal
import time
from pathlib import Path

import pytest
from filelock import FileLock

from ts2net_mm.datasets.frame_store import FrameStore, FrameStoreError, close_access, frame_key

TOOL = Path(__file__).parents[2] / 'tools/data/store_frames.py'


@pytest.fixture
def run(load_tool, project, tmp_path):
    """Function that runs the tool in this process on a project's config."""
    main = load_tool('data/store_frames.py').main

    def run(*arguments: object, folder: Path = project) -> int:
        options = ['--out', str(tmp_path / 'store'), '--workers', '2']
        return main([str(folder / 'config.py'), *options, *map(str, arguments)])

    return run


def pictures(folder: Path) -> dict[str, dict[int, bytes]]:
    """What is stored of each video."""
    store = FrameStore(folder)
    names = [f'{number}.mp4' for number in range(20)]
    found = {name: store.video(name) for name in names}
    return {
        name: {
            number: store.get(frame_key(video.frame_dir, number).decode())
            for number in video.numbers()
        }
        for name, video in found.items()
        if video
    }


MISTAKES = {
    '--quality 80': 'was made with quality=95, where quality=80 is asked for',
    '--format png': "format='jpeg', quality=95, where format='png', quality=None is",
    '--cfg-options train_dataloader.dataset.ann_file=no.json': 'no.json does not exist',
    '--cfg-options train_dataloader.dataset.piplein=[]': "argument 'piplein'",
}


def test_further_runs_on_the_same_folder(run, tmp_path, capsys):
    """There is nothing to do; other settings are an error of one line."""
    assert run('--workers', 1) == 0
    assert '5 videos, ' in (first := capsys.readouterr().out)
    assert '5 were to do, 0 failed' in first
    before = pictures(tmp_path / 'store')
    assert [len(frames) for frames in before.values()] == [12] * 5
    assert run() == 0
    assert '0 were to do, 0 failed' in capsys.readouterr().out
    for arguments, message in MISTAKES.items():
        assert run(*arguments.split()) == 1
        error = capsys.readouterr().err
        assert error.startswith('error: ')
        assert message in error
        assert error.count('\n') == 1
    assert pictures(tmp_path / 'store') == before
    assert run('--out', tmp_path / 'other', '--workers', 3) == 0
    assert pictures(tmp_path / 'other') == before  # whatever the number of processes


def test_a_folder_of_something_else_is_left_alone(run, tmp_path, capsys):
    (tmp_path / 'store').mkdir()
    (tmp_path / 'store' / 'thesis.tex').write_text('mine')
    assert run() == 1
    assert 'is no frame store and not empty (it holds thesis.tex)' in capsys.readouterr().err
    assert os.listdir(tmp_path / 'store') == ['thesis.tex']


def test_one_writer_at_a_time(run, tmp_path, capsys):
    with FileLock(tmp_path / 'store' / 'writer.lock'):
        assert run() == 1
    assert 'another process writes to' in capsys.readouterr().err


SLOW = """
import time
from mmaction.datasets.transforms import DecordInit
from mmaction.registry import TRANSFORMS

@TRANSFORMS.register_module()
class SlowInit(DecordInit):
    def transform(self, results):
        time.sleep(0.2)
        return super().transform(results)
"""
SLOW_CONFIG = """
_base_ = {base!r}
custom_imports = dict(imports=['ts2net_mm', 'slow'])
pipeline = [dict(type='SlowInit'), *_base_.train_dataloader.dataset.pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_dataloader = test_dataloader = None
"""


@pytest.mark.slow
@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGKILL])
def test_it_continues_where_it_was_stopped(
    run, start_script, long_project, tmp_path, capfd, how, monkeypatch
):
    store, log = tmp_path / 'store', tmp_path / 'log.txt'
    (tmp_path / 'slow.py').write_text(SLOW)
    config = tmp_path / 'config.py'
    config.write_text(SLOW_CONFIG.format(base=str(long_project / 'config.py')))
    monkeypatch.syspath_prepend(tmp_path)
    counts = [0]
    for _ in range(2):
        process = start_script(
            TOOL,
            *(config, '--out', store, '--workers', 1),
            log=log,
            environment={'PYTHONPATH': str(tmp_path)},
        )
        while process.is_alive() and count(store) <= counts[-1]:
            time.sleep(0.05)
        os.kill(process.pid, how)
        process.join(60)
        assert process.exitcode == (-how if how == signal.SIGKILL else 130), log.read_text()
        counts.append(count(store))
    assert 0 < counts[1] < counts[2] < 20
    assert ('interrupted; the same command continues' in log.read_text()) == (how == signal.SIGINT)
    assert run(folder=tmp_path) == 0
    assert f'{20 - counts[2]} were to do, 0 failed' in capfd.readouterr().out
    assert run('--out', tmp_path / 'at once', folder=tmp_path) == 0
    assert pictures(store) == pictures(tmp_path / 'at once')


def count(store: Path) -> int:
    """How many videos are stored, while another process may write."""
    if not (store / 'data.mdb').exists():
        return 0
    try:
        return len(pictures(store))
    except FrameStoreError:  # the first transaction is under way
        return 0
    finally:
        close_access(store)
