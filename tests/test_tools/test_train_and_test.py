"""The command lines of training and testing, as a user runs them."""

import json
import pickle
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from ts2net_mm.checkpoints.formats import FORMATS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def train(run_tool, project) -> Callable[..., tuple[int, str]]:
    """Function that trains on the project."""

    def run(work_dir: Path, *arguments: object) -> tuple[int, str]:
        return run_tool('train.py', project / 'config.py', '--work-dir', work_dir, *arguments)

    return run


def table_of(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith(('| ', 'reversal'))]


@pytest.fixture(scope='module')
def trained(train, tmp_path_factory) -> Path:
    """A work folder after two epochs."""
    work_dir = tmp_path_factory.mktemp('trained')
    code, output = train(work_dir, '--seed', 3)
    assert code == 0, output[-2000:]
    assert (work_dir / 'epoch_2.pth').is_file()
    return work_dir


@pytest.mark.slow
def test_a_resumed_run_ends_as_the_uninterrupted_one(train, trained, tmp_path):
    shutil.copy(trained / 'epoch_1.pth', tmp_path)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
    code, output = train(tmp_path, '--seed', 3, '--resume')
    assert code == 0, output[-2000:]
    assert 'resumed epoch: 1' in output
    expected, found = (torch.load(folder / 'epoch_2.pth') for folder in (trained, tmp_path))
    for part in ('state_dict', 'ema_state_dict'):  # the averaged weights, and the others
        assert expected[part]
        for key, value in expected[part].items():
            assert torch.equal(found[part][key], value), (part, key)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


@pytest.mark.slow
def test_five_videos_over_several_processes(run_together, project, trained, tmp_path, table):
    """With shards of different sizes; the table equals that of a single process."""
    log = tmp_path / 'output.txt'
    dumps = {number: tmp_path / f'{number}.npz' for number in (1, 2, 3)}
    for number, dump in dumps.items():
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
    first, *others = (dict(np.load(dump)) for dump in dumps.values())
    assert first['similarity'].shape == (10, 5)
    for other in others:
        assert list(first['video_ids']) == list(other['video_ids'])
        # matrix products round differently in a batch of another size
        np.testing.assert_allclose(other['similarity'], first['similarity'], rtol=0, atol=1e-5)


@pytest.fixture(scope='module')
def table(run_tool, project, trained, tmp_path_factory) -> list[str]:
    """The table of the trained checkpoint, with all predictions dumped as in MMAction2."""
    work_dir = tmp_path_factory.mktemp('table')
    arguments = (project / 'config.py', trained / 'epoch_2.pth', '--work-dir', work_dir)
    found = table_of(run_tool('test.py', *arguments, '--dump', work_dir / 'all.pkl')[1])
    assert (work_dir / 'all.pkl').is_file()
    assert len(found) == 6
    assert re.search(r'text to video +\| +\d+\.\d', found[1])
    return found


@pytest.mark.slow
def test_half_precision(run_tool, project, trained, table, tmp_path):
    arguments = (project / 'config.py', trained / 'epoch_2.pth', '--work-dir', tmp_path)
    code, output = run_tool('test.py', *arguments, '--amp', '--dump', tmp_path / 'all.pkl')
    assert code == 0, output[-2000:]
    assert len(table_of(output)) == len(table)
    features = pickle.loads((tmp_path / 'all.pkl').read_bytes())[0]['features']
    assert features['text_features'].dtype == torch.bfloat16


@pytest.mark.slow
def test_released_weights_give_the_same_table(run_tool, train, project, trained, table, tmp_path):
    # not with the tool, because the release has no heads of eight channels
    state_dict = torch.load(trained / 'epoch_2.pth')['state_dict']
    config = dict(backbone=dict(shift_layers=(0, 1)))
    written = FORMATS['released'].from_ours(state_dict, config)
    unused = {name: torch.zeros(3) for name in FORMATS['released'].unused}
    weights = tmp_path / 'pytorch_model.bin.1'
    torch.save(written | unused, weights)
    arguments = (project / 'config.py', weights, '--work-dir', tmp_path / 'work')
    code, output = run_tool('test.py', *arguments)
    assert code == 0, output[-2000:]
    assert table_of(output) == table

    options = ('--cfg-options', f'load_from={weights}', 'train_cfg.max_epochs=1')
    code, output = train(tmp_path / 'train', *options)
    assert code == 0, output[-2000:]
    assert 'pytorch_model.bin.1: released TS2-Net weights' in output


@pytest.mark.slow
def test_model_inferred_from_converted_weights(run_tool, project, trained, table, tmp_path):
    """The config has only the data."""
    weights = tmp_path / 'model.safetensors'
    code, output = run_tool(
        'convert_weights.py', trained / 'epoch_2.pth', weights, '--to=ts2net_mm'
    )
    assert code == 0, output
    config = Config.fromfile(project / 'config.py')
    keep = ('test_dataloader', 'test_evaluator')
    Config({key: config[key] for key in keep}).dump(tmp_path / 'data.py')
    arguments = ('--from-weights', weights, '--work-dir', tmp_path / 'work')
    code, output = run_tool('test.py', tmp_path / 'data.py', *arguments)
    assert code == 0, output[-2000:]
    assert table_of(output) == table


@pytest.mark.slow
def test_checkpoint_of_another_architecture_is_an_error(run_tool, project, trained, tmp_path):
    arguments = (project / 'config.py', trained / 'epoch_2.pth', '--work-dir', tmp_path)
    option = 'model.head.temporal.num_layers=2'
    code, output = run_tool('test.py', *arguments, '--cfg-options', option)
    assert code != 0
    assert re.search(
        r'epoch_2\.pth does not fit the model: head\.temporal\.layers has 1 blocks in the file',
        output,
    )


@pytest.mark.slow
def test_missing_annotation_and_videos_are_named(train, tmp_path):
    (tmp_path / 'gone.json').write_text(json.dumps({'gone.mp4': ['a clip']}))
    messages = {
        'nothing.json': r'annotation file .*nothing\.json does not exist',
        str(tmp_path / 'gone.json'): r'1 of 1 video files are missing, the first are .*gone\.mp4',
    }
    for name, message in messages.items():
        option = f'train_dataloader.dataset.ann_file={name}'
        code, output = train(tmp_path, '--cfg-options', option)
        assert code != 0
        assert re.search(message, output)
