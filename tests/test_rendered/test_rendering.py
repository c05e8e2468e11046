import json
import logging
import signal
import sys
import threading
from pathlib import Path

import pytest

from ts2net_mm.rendered import is_complete_mp4, render, rendering
from ts2net_mm.rendered.moving_shapes import MOVING_SHAPES
from ts2net_mm.rendered.rendering import one_writer


def _contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file() and path.name != '.lock'
    }


@pytest.fixture(scope='module')
def rendered(tmp_path_factory):
    """A small data set, not to be changed."""
    folder = tmp_path_factory.mktemp('moving_shapes')
    render(MOVING_SHAPES, folder, num_train_videos=4, workers=2)
    return folder


@pytest.fixture
def folder(rendered, tmp_path):
    """A copy of the small data set."""
    target = tmp_path / 'copy'
    for name, content in _contents(rendered).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content)
    return target


def _render(folder, **changes):
    return render(MOVING_SHAPES, folder, **({'num_train_videos': 4, 'workers': 1} | changes))


def test_layout(rendered):
    assert sorted(path.name for path in rendered.iterdir()) == [
        '.lock',
        'dataset.json',
        'test',
        'test.json',
        'test_boxes.json',
        'train',
        'train.json',
        'train_boxes.json',
        'val',
        'val.json',
        'val_boxes.json',
    ]
    for split, count in (('train', 4), ('val', 200), ('test', 200)):
        entries = json.loads((rendered / f'{split}.json').read_text())
        assert len(entries) == count
        assert sorted(entries) == sorted(
            f'{split}/{path.name}' for path in (rendered / split).iterdir()
        )
        assert all(set(entry) >= {'captions', 'meaning'} for entry in entries.values())
    assert json.loads((rendered / 'dataset.json').read_text()) == {
        'name': 'moving_shapes',
        'version': 2,
        'seed': 0,
        'videos': {'train': 4, 'val': 200, 'test': 200},
    }


def test_a_complete_folder_is_left_alone(folder):
    times = {name: (folder / name).stat().st_mtime_ns for name in _contents(folder)}
    calls = []
    summary = _render(folder, progress=lambda done, total: calls.append((done, total)))
    assert (summary.num_rendered, summary.num_kept) == (0, 404)
    assert calls == [(404, 404)]
    assert {name: (folder / name).stat().st_mtime_ns for name in _contents(folder)} == times


def test_missing_and_incomplete_videos_are_rendered_again(folder, rendered):
    (folder / 'train/000001.mp4').unlink()
    (folder / 'test/000007.mp4').write_bytes(b'')
    half = (folder / 'val/000003.mp4').read_bytes()[:10000]
    (folder / 'val/000003.mp4').write_bytes(half)
    kept = (folder / 'train/000000.mp4').stat().st_mtime_ns
    calls = []
    summary = _render(folder, progress=lambda done, total: calls.append((done, total)))
    assert summary.num_rendered == 3
    assert calls == [(401, 404), (402, 404), (403, 404), (404, 404)]
    assert (folder / 'train/000000.mp4').stat().st_mtime_ns == kept
    assert _contents(folder) == _contents(rendered)


@pytest.mark.parametrize('name', ['val.json', 'test_boxes.json'])
def test_a_missing_annotation_file_is_written_again(folder, rendered, name):
    (folder / name).unlink()
    assert _render(folder).num_rendered == 0
    assert _contents(folder) == _contents(rendered)


def test_an_interrupted_rendering_is_incomplete_and_continues(tmp_path, rendered):
    def interrupt(done, total):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _render(tmp_path, workers=2, progress=interrupt)
    assert not (tmp_path / 'dataset.json').exists()
    assert not (tmp_path / 'test.json').exists()
    assert not list(tmp_path.glob('.rendering/*.mp4'))
    videos = list(tmp_path.glob('*/*.mp4'))
    assert all(is_complete_mp4(video) for video in videos)
    summary = _render(tmp_path)
    assert summary.num_kept == len(videos) >= 20
    assert _contents(tmp_path) == _contents(rendered)


def test_what_a_killed_rendering_left_is_removed(folder, rendered):
    scratch = folder / '.rendering'
    scratch.mkdir()
    (folder / 'dataset.json').rename(scratch / 'dataset.json')
    (scratch / 'test-000007-1234.mp4').write_bytes(b'half')
    (folder / 'test/000007.mp4').unlink()
    _render(folder)
    assert _contents(folder) == _contents(rendered)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            {'seed': 5},
            r"dataset\.json: rendered with .*'seed': 0, .* but .*'seed': 5, .* is requested",
        ),
        ({'num_train_videos': 5}, r"rendered with .*'train': 4.*'train': 5"),
    ],
)
@pytest.mark.parametrize('finished', [True, False])
def test_other_settings_are_an_error(folder, rendered, changes, message, finished):
    if not finished:
        (folder / '.rendering').mkdir()
        (folder / 'dataset.json').rename(folder / '.rendering/dataset.json')
    before = _contents(folder)
    with pytest.raises(ValueError, match=message):
        _render(folder, **changes)
    assert _contents(folder) == before


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"seed":', r'dataset\.json: rendered with invalid JSON'),
        ('[1]', r'dataset\.json: rendered with \[1\]'),
    ],
)
def test_a_damaged_manifest_is_an_error(folder, text, message):
    (folder / 'dataset.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        _render(folder)


def test_a_folder_of_something_else_is_an_error(tmp_path):
    (tmp_path / 'test.json').mkdir()
    with pytest.raises(FileExistsError, match=r"holds 'test.json' but no dataset\.json"):
        _render(tmp_path)
    assert not list((tmp_path / 'test.json').glob('*'))


def test_a_write_error_ends_the_rendering(tmp_path, monkeypatch):
    def fail(frames, fps):
        raise OSError('No space left on device')

    monkeypatch.setattr(rendering, 'encode_mp4', fail)
    with pytest.raises(OSError, match='No space left'):
        _render(tmp_path)
    assert not (tmp_path / 'dataset.json').exists()
    assert not list(tmp_path.rglob('*.mp4'))


def test_a_second_rendering_waits_for_the_first(tmp_path, caplog):
    entered = threading.Event()

    def second():
        with one_writer(tmp_path):
            entered.set()

    with caplog.at_level(logging.WARNING), one_writer(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    thread.join(10)
    assert entered.is_set()
    assert 'waiting for another rendering' in caplog.text


SCRIPT = Path(__file__).parents[2] / 'tools/data/moving_shapes/render.py'


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='looks at /proc')
@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_command_continues(stop_program, tmp_path, how, monkeypatch, capsys, load_tool):
    arguments = ['--out', tmp_path, '--train-videos', 40, '--workers', 2]
    code, errors = stop_program(
        [SCRIPT, *arguments], how, when=lambda: len(list(tmp_path.glob('train/*.mp4'))) >= 20
    )
    if how == signal.SIGINT:
        assert code == 130
        assert errors == 'interrupted; the same command continues where this one stopped\n'
    assert 'Traceback' not in errors
    assert not (tmp_path / 'dataset.json').exists()

    kept = len(list(tmp_path.glob('t*/*.mp4')))
    assert kept >= 20
    monkeypatch.setattr('sys.argv', ['render.py', *map(str, arguments)])
    assert load_tool('data/moving_shapes/render.py').main() == 0
    expected = f'40 train, 200 val, 200 test videos; {440 - kept} rendered'
    assert expected in capsys.readouterr().out
    assert len(list(tmp_path.glob('*/*.mp4'))) == 440
    assert (tmp_path / 'dataset.json').is_file()
    assert not (tmp_path / '.rendering').exists()
