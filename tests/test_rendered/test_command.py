"""The options of the rendering commands."""

import json
from dataclasses import replace

import pytest

from ts2net_mm.rendered.command import run_command
from ts2net_mm.rendered.moving_textures import Difficulty, moving_textures


def _few(difficulty):
    return replace(moving_textures(difficulty), held_out=(2, 0))


def _main(*argv):
    return run_command(_few, Difficulty, title='Render.', argv=list(map(str, argv)))


def test_difficulties_are_options_and_settings_of_the_folder(tmp_path, capsys):
    options = ['--out', tmp_path, '--train-videos', 2, '--workers', 1, '--noise', 0.25]
    assert _main(*options) == 0
    assert '2 train, 2 val, 2 test videos; 6 rendered' in capsys.readouterr().out
    settings = json.loads((tmp_path / 'dataset.json').read_text())
    assert (settings['noise'], settings['num_dots'], settings['seed']) == (0.25, 3, 0)
    boxes = json.loads((tmp_path / 'test_boxes.json').read_text())
    assert boxes.keys() == json.loads((tmp_path / 'test.json').read_text()).keys()
    assert _main(*options[:-1], 0.5) == 1
    assert "rendered with {'name': 'moving_textures'" in capsys.readouterr().err


def test_a_wrong_difficulty_is_an_error(tmp_path, capsys):
    assert _main('--out', tmp_path / 'new', '--lifetime', 0.5) == 1
    assert 'error: lifetime=0.5: expected 0, or more than 1' in capsys.readouterr().err
    assert not (tmp_path / 'new').exists()


def test_help_describes_each_difficulty(capsys):
    with pytest.raises(SystemExit):
        _main('--help')
    text = ' '.join(capsys.readouterr().out.split())
    assert '--num-colours NUM_COLOURS colours of the dots; fewer make matching harder (def' in text
