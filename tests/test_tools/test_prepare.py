"""tools/data/prepare.py from the command line; test_data_readmes.py compares whole outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA_SETS = ('msrvtt', 'msvd', 'vatex', 'lsmdc', 'activitynet', 'didemo')


@pytest.fixture
def run(load_tool, miniatures, tmp_path, capsys):
    """Prepare a miniature data set; returns exit code, stdout, stderr."""

    def prepare(name, *args, **folders):
        mini = miniatures.MAKERS[name](tmp_path / name)
        paths = dict(annotations=mini.annotations, videos=mini.videos, out=tmp_path / 'out')
        paths |= folders
        options = [str(part) for key, path in paths.items() for part in (f'--{key}', path)]
        code = load_tool('data/prepare.py').main([name, *options, *args])
        return code, *capsys.readouterr()

    return prepare


def test_what_needs_attention_is_printed(run, tmp_path):
    assert run('msrvtt')[0] == 0
    code, out, _ = run('msrvtt', '--on-missing', 'drop')
    assert code == 0
    assert 'train_9k.json: 7 videos, 21 captions, 1 without file\n  written: 6 videos\n' in out
    assert f'1, dropped from the annotations, listed in {tmp_path}/out/missing_videos.txt' in out
    assert (
        f'videos with several files: 1, the first is used, listed in {tmp_path}/out/repeated_v'
        in out
    )
    assert f'ids without captions: 1, listed in {tmp_path}/out/unannotated_videos.txt' in out
    assert '/videos leads to ' in out


def test_empty_captions_are_an_error_unless_dropped(run, miniatures, tmp_path):
    mini = miniatures.make_vatex(tmp_path / 'edited')
    path = mini.annotations / 'ref_captions.json'
    captions = json.loads(path.read_text('utf-8'))
    captions['Ptf_2VRj-V1_000121_000131'][2] = ' '
    path.write_text(json.dumps(captions))
    code, out, err = run('vatex', annotations=mini.annotations)
    assert (code, out) == (1, '')
    assert '1 captions are empty' in err
    assert not (tmp_path / 'out').exists()
    code, out, _ = run('vatex', '--drop-empty-captions', annotations=mini.annotations)
    assert code == 0
    assert 'note: dropped: 1 captions are empty' in out
    assert 'train.json: 5 videos, 19 captions' in out


def test_lists_of_pairs(load_tool, miniatures, tmp_path, capsys):
    mini = miniatures.make_pairs(tmp_path)
    tool = load_tool('data/prepare.py')
    folders = ['pairs', f'--videos={mini.videos}', f'--out={tmp_path}/out', '--annotations']
    assert tool.main([*folders, str(mini.annotations / 'train.csv')]) == 0
    assert 'train.json: 5 videos, 10 captions, 0 without file\n' in capsys.readouterr().out
    assert tool.main([*folders, f'{tmp_path}/nowhere.csv']) == 1
    expected = f'error: annotation file {tmp_path}/nowhere.csv does not exist\n'
    assert capsys.readouterr().err == expected


@pytest.mark.slow
def test_the_old_paths(miniatures, tmp_path):
    """Also without UTF-8 in the environment."""
    mini = miniatures.make_lsmdc(tmp_path / 'mini')
    command = [sys.executable, ROOT / 'tools/data/lsmdc/prepare.py', '--videos', mini.videos]
    command += ['--annotations', mini.annotations, '--out', 'data/lsmdc']
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {'PYTHONPATH': paths, 'LC_ALL': 'C', 'PYTHONUTF8': '0'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith('LSMDC in data/lsmdc\n')
    assert result.stderr.startswith('note: tools/data/lsmdc/prepare.py is now: tools/data/prepare')
    assert 'café' in (tmp_path / 'data/lsmdc/train.json').read_text('utf-8')
    for name in (*DATA_SETS, 'pairs'):
        text = (ROOT / f'tools/data/{name}/prepare.py').read_text()
        assert f"main_of_old_path('{name}')" in text
