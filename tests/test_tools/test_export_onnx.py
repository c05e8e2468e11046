"""tools/export_onnx.py: what it prints, and the errors that a user meets."""

import pytest
import torch
from mmengine.config import Config
from tiny import CONFIG

from ts2net_mm.apis.inferencer import build_model, load_config

pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('export_onnx.py')


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp('model')
    (folder / 'config.py').write_text(CONFIG)
    network = build_model(load_config(folder / 'config.py'))
    network.init_weights()
    torch.save(network.state_dict(), folder / 'model.pth')
    return [str(folder / 'config.py'), str(folder / 'model.pth')]


@pytest.mark.slow
def test_export(tool, model, tmp_path, capsys):
    options = ['--out', str(tmp_path / 'onnx'), '--selection', 'hard', '--int8']
    assert tool.main([*model, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list((tmp_path / 'onnx').iterdir())) == 6
    assert sum('its features differ from those of the model by' in line for line in lines) == 2
    assert '"selection": "hard"' in (tmp_path / 'onnx/export.json').read_text()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--out', '.'], '. exists and is no empty folder'),
        (['--out', 'new', '--frames', '3', '--dynamic-frames'], 'needs a maximum above 3'),
        (['--out', 'new', '--frames', '7', '--dynamic-frames'], '7 frames of 4 tokens exceed'),
    ],
)
def test_errors(tool, model, options, message, tmp_path, monkeypatch, capsys):
    (tmp_path / 'file').touch()
    monkeypatch.chdir(tmp_path)
    assert tool.main([*model, *options]) == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_missing_files_and_packages(tool, model, tmp_path, monkeypatch, capsys):
    out = ['--out', str(tmp_path / 'onnx')]
    assert tool.main(['none.py', model[1], *out]) == 1
    assert tool.main([model[0], 'none.pth', *out]) == 1
    monkeypatch.setattr(
        'ts2net_mm.utils.cli.find_spec', lambda name: None if name == 'onnx' else 'found'
    )
    assert tool.main([*model, *out]) == 1
    assert capsys.readouterr().err.splitlines() == [
        'error: config none.py does not exist',
        'error: checkpoint none.pth does not exist',
        "error: the export needs onnx: pip install 'ts2net-mm[onnx]', or in a copy of the "
        "repository pip install -e '.[onnx]'",
    ]


def test_selection_of_a_model_without_token_selection(tool, model, tmp_path, capsys):
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {model[0]!r}\nmodel = dict(neck=dict(_delete_=True, type="CLSOnly"))'
    )
    assert tool.main([str(config), model[1], '--out', 'x', '--selection', 'hard']) == 1
    assert 'the neck of the model is CLSOnly' in capsys.readouterr().err


@pytest.mark.slow
def test_benchmark(load, project, tmp_path, quick_runs):
    benchmark = load('onnx_export')
    exported, timed = benchmark.run(1, 'tiny', Config.fromfile(project / 'config.py'))
    assert [row[0] for row in exported.rows] == ['float32', 'int8']
    assert all(float(cell) < 1e-4 for cell in exported.rows[0][1:3])
    assert all(float(cell) > 1e-4 for cell in exported.rows[1][1:3])
    assert [one.side.name for one in timed.measurements] == [
        'onnxruntime',
        'onnxruntime, int8',
        'torch',
    ]
    torch.manual_seed(0)
    network = build_model(load_config(project / 'config.py'))
    network.init_weights()
    torch.save(network.state_dict(), tmp_path / 'model.pth')
    recalls = benchmark.recall_table(project / 'config.py', [tmp_path / 'model.pth']).rows
    assert len(recalls) == 3
    assert recalls[0][1:] == recalls[1][1:] and all(0 <= one <= 100 for one in recalls[2][1:])
