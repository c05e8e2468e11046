"""The command lines of training and testing, as a user runs them."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from ts2net_mm.checkpoints.formats import FORMATS

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    environment = dict(PYTHONPATH=str(ROOT), PATH='/usr/bin:/bin', OMP_NUM_THREADS='1')
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


def train(project: Path, work_dir: Path, *arguments: object):
    return run('tools/train.py', project / 'config.py', '--work-dir', work_dir, *arguments)


def table_of(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith(('| ', 'reversal'))]


@pytest.fixture(scope='module')
def trained(project, tmp_path_factory) -> Path:
    """A work folder after two epochs."""
    work_dir = tmp_path_factory.mktemp('trained')
    result = train(project, work_dir, '--seed', 3)
    assert result.returncode == 0, result.stderr[-2000:]
    assert (work_dir / 'epoch_2.pth').is_file()
    return work_dir


@pytest.mark.slow
def test_seed_repeats_a_run_and_resume_continues_it(project, trained, tmp_path):
    first = train(project, tmp_path, '--seed', 3, '--cfg-options', 'train_cfg.max_epochs=1')
    assert first.returncode == 0, first.stderr[-2000:]
    second = train(project, tmp_path, '--seed', 3, '--resume')
    assert second.returncode == 0, second.stderr[-2000:]
    assert 'resumed epoch: 1' in second.stdout + second.stderr
    for epoch in (1, 2):
        name = f'epoch_{epoch}.pth'
        expected, found = (torch.load(folder / name) for folder in (trained, tmp_path))
        for part in ('state_dict', 'ema_state_dict'):  # the averaged weights, and the others
            assert expected[part]
            for key, value in expected[part].items():
                assert torch.equal(found[part][key], value), (name, part, key)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize('processes', [2, 3])
def test_five_videos_over_several_processes(
    run_together, project, trained, tmp_path, processes, table
):
    """With shards of different sizes; the table equals that of a single process."""
    log = tmp_path / 'output.txt'
    dumps = [tmp_path / f'{number}.npz' for number in (1, processes)]
    for number, dump in zip((1, processes), dumps, strict=True):
        log.unlink(missing_ok=True)
        common = dict(WORLD_SIZE=str(number), MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port())
        arguments = (project / 'config.py', trained / 'epoch_2.pth', '--work-dir', tmp_path)
        arguments += ('--dump', dump, '--launcher', 'pytorch')
        run_together(
            ROOT / 'tools' / 'test.py',
            [arguments] * number,
            log,
            [common | dict(RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(number)],
        )
        assert table_of(log.read_text()) == table
    first, second = (dict(np.load(dump)) for dump in dumps)
    assert first['similarity'].shape == (10, 5)
    assert list(first['video_ids']) == list(second['video_ids'])
    # matrix products round differently in a batch of another size
    np.testing.assert_allclose(second['similarity'], first['similarity'], rtol=0, atol=1e-5)


@pytest.fixture(scope='module')
def table(project, trained, tmp_path_factory) -> list[str]:
    """The table of the trained checkpoint, with all predictions dumped as in MMAction2."""
    work_dir = tmp_path_factory.mktemp('table')
    arguments = (project / 'config.py', trained / 'epoch_2.pth', '--work-dir', work_dir)
    found = table_of(run('tools/test.py', *arguments, '--dump', work_dir / 'all.pkl').stdout)
    assert (work_dir / 'all.pkl').is_file()
    assert len(found) == 6
    assert re.search(r'text to video +\| +\d+\.\d', found[1])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'to'),
    [('pytorch_model.bin.1', 'released'), ('model.safetensors', 'ts2net_mm')],
)
def test_weights_of_other_formats_give_the_same_table(project, trained, table, tmp_path, name, to):
    weights = tmp_path / name
    if to == 'released':  # not with the tool, because the release has no heads of eight channels
        state_dict = torch.load(trained / 'epoch_2.pth')['state_dict']
        config = dict(backbone=dict(shift_layers=(0, 1)))
        written = FORMATS['released'].from_ours(state_dict, config)
        unused = {name: torch.zeros(3) for name in FORMATS['released'].unused}
        torch.save(written | unused, weights)
    else:
        converted = run('tools/convert_weights.py', trained / 'epoch_2.pth', weights, '--to', to)
        assert converted.returncode == 0, converted.stderr
    result = run('tools/test.py', project / 'config.py', weights, '--work-dir', tmp_path / 'work')
    assert result.returncode == 0, result.stderr[-2000:]
    assert table_of(result.stdout) == table

    options = ('--cfg-options', f'load_from={weights}', 'train_cfg.max_epochs=1')
    training = train(project, tmp_path / 'train', *options)
    assert training.returncode == 0, training.stderr[-2000:]
    logged = 'pytorch_model.bin.1: released TS2-Net weights' in training.stdout + training.stderr
    assert logged == (to == 'released')


@pytest.mark.slow
def test_model_inferred_from_the_weights(project, trained, table, tmp_path):
    """The config has only the data."""
    config = Config.fromfile(project / 'config.py')
    keep = ('test_dataloader', 'test_evaluator')
    Config({key: config[key] for key in keep}).dump(tmp_path / 'data.py')
    arguments = ('--from-weights', trained / 'epoch_2.pth', '--work-dir', tmp_path / 'work')
    result = run('tools/test.py', tmp_path / 'data.py', *arguments)
    assert result.returncode == 0, result.stderr[-2000:]
    assert table_of(result.stdout) == table


@pytest.mark.slow
def test_checkpoint_of_another_architecture_is_an_error(project, trained, tmp_path):
    arguments = (project / 'config.py', trained / 'epoch_2.pth', '--work-dir', tmp_path)
    option = 'model.head.temporal.num_layers=2'
    result = run('tools/test.py', *arguments, '--cfg-options', option)
    assert result.returncode != 0
    assert re.search(
        r'epoch_2\.pth does not fit the model: head\.temporal\.layers has 1 blocks in the file',
        result.stderr,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('train.py', 'no.py'), 'config no.py does not exist'),
        (('test.py', 'configs/ts2net_msrvtt.py', 'no.pth'), 'checkpoint no.pth does not exist'),
        (
            ('test.py', 'configs/ts2net_msrvtt.py', 'setup.cfg', '--dump', '/proc/no/scores.npz'),
            r'folder of the --dump /proc/no cannot be made',
        ),
        (('test.py', 'setup.cfg', 'configs/ts2net_msrvtt.py'), 'config setup.cfg cannot be read: '),
        (
            ('test.py', 'configs/ts2net_msrvtt.py', 'setup.cfg', '--dump', 'scores.csv'),
            r'--dump scores.csv must end in .pkl, .pickle or .npz',
        ),
    ],
)
def test_wrong_paths_end_with_one_line(arguments, message):
    result = run(f'tools/{arguments[0]}', *arguments[1:])
    assert result.returncode == 2
    assert re.search(f'error: {message}', result.stderr)


@pytest.mark.slow
def test_missing_annotation_and_videos_are_named(project, tmp_path):
    (tmp_path / 'gone.json').write_text(json.dumps({'gone.mp4': ['a clip']}))
    messages = {
        'nothing.json': r'annotation file .*nothing\.json does not exist',
        str(tmp_path / 'gone.json'): r'1 of 1 video files are missing, the first are .*gone\.mp4',
    }
    for name, message in messages.items():
        option = f'train_dataloader.dataset.ann_file={name}'
        result = train(project, tmp_path, '--cfg-options', option)
        assert result.returncode != 0
        assert re.search(message, result.stderr)
