"""tools/analysis/hard_examples.py from the command line."""

import importlib
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import Page

from ts2net_mm.datasets.annotation import load_annotations
from ts2net_mm.evaluation import save_similarity
from ts2net_mm.rendered import encode_mp4

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'tools/analysis'
NAMES = ['0.mp4', 'two.dots.webm', 'a/sub', '<script>x</script>.mp4', 'gone.mp4', 'text.mp4']
CAPTIONS = [f'<b>caption</b> "{text}" & more' for text in range(8)]
OWNERS = np.array([0, 1, 2, 3, 4, 5, 0, 0])


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """Videos of 2 seconds, one frame a second being white from the second second on."""
    folder = tmp_path_factory.mktemp('videos')
    frames = np.zeros((12, 32, 40, 3), np.uint8)
    frames[6:] = 255
    for name in ('0.mp4', 'deep/er/two.dots.webm', 'a/sub.mp4'):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode_mp4(frames, fps=6))
    (folder / 'text.mp4').write_text('no video')
    return folder


@pytest.fixture
def matrix(tmp_path):
    """Texts 0 and 1 are swapped, the last text is the worst, all else is right."""
    scores = np.eye(6, dtype=np.float32)[OWNERS]
    scores[[0, 1]] = scores[[1, 0]]
    scores[7] = [-1, 0.1, 0.2, 0.3, 0.4, 0.5]
    path = tmp_path / 'scores.npz'
    save_similarity(
        path, similarity=scores, video_of_text=OWNERS, video_ids=NAMES, captions=CAPTIONS
    )
    return path


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    for name in ('hard_examples', 'page', 'clips'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module('hard_examples')
    for name in ('hard_examples', 'page', 'clips'):
        sys.modules.pop(name, None)


@pytest.fixture
def run(tool, matrix, tmp_path, capsys):
    """Run the tool; returns exit code, stdout, stderr."""

    def call(*args, matrix=matrix, page=tmp_path / 'page.html'):
        code = tool.main([str(arg) for arg in (matrix, page, *args)])
        return code, *capsys.readouterr()

    return call


def test_the_page_shows_the_worst_and_the_confused(run, videos, tmp_path):
    code, out, err = run('--videos', videos, '--count', 2, page=tmp_path / 'new' / 'page.html')
    assert code == 0
    assert out == f'page: {tmp_path / "new" / "page.html"}\n'
    assert os.listdir(tmp_path / 'new') == ['page.html']
    page = Page(tmp_path / 'new' / 'page.html')
    assert page.tags.count('li') == 4
    worst = page.texts.index(CAPTIONS[7])
    assert page.texts[worst + 1 : worst + 4] == ['6', '0.mp4', '-1.000']
    assert page.texts[worst:].index('text.mp4') < page.texts[worst:].index('gone.mp4')
    excess = [text for text in page.texts if text.startswith('excess')]
    assert excess == ['excess +0.683', 'excess -0.417']
    pair = page.texts.index(excess[0])
    assert page.texts[pair + 1] == '0.mp4'
    assert 'two.dots.webm' in page.texts[pair:]
    assert err == 'no frames of 3 of 6 videos\n'


def test_the_annotated_part_is_shown(tool, videos, tmp_path):
    clips = importlib.import_module('clips')
    annotations = tmp_path / 'test.json'
    annotations.write_text(json.dumps({'0.mp4': dict(captions=['x'], start=1, end=2)}))
    known = {video.video_id: video for video in load_annotations(annotations)}
    whole = clips.locate(videos, ['0.mp4'], {})
    part = clips.locate(videos, ['0.mp4'], known)
    for found, first_second in ((whole, 0.0), (part, 1.0)):
        strips = clips.read_strips(found, num_frames=3, num_workers=1)
        assert strips['0.mp4'][0].seconds == first_second
        assert len(strips['0.mp4']) == 3


def test_a_name_of_several_files(tool, videos, tmp_path):
    clips = importlib.import_module('clips')
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'x.mp4').touch()
    found = clips.locate(tmp_path, ['x.mp4', 'a/x.mp4'], {})
    assert found['x.mp4'].reason == f'2 files in {tmp_path} have its name'
    assert found['a/x.mp4'].path == str(tmp_path / 'a' / 'x.mp4')


def test_without_videos_the_page_says_so(run, tmp_path):
    code, _, err = run()
    assert code == 0
    assert err == 'no frames of 6 of 6 videos\n'
    page = Page(tmp_path / 'page.html')
    assert 'img' not in page.tags
    assert 'Its frames cannot be shown: --videos was not given' in page.texts
    assert '6 of the 6 videos shown have no frames here.' in page.texts


def test_the_page_is_escaped_and_self_contained(run, videos, tmp_path):
    run('--videos', videos, '--frames', 4)
    page = Page(tmp_path / 'page.html')
    assert page.tags.count('img') > 4 * 3
    reasons = {text.split(': ', 1)[1] for text in page.texts if 'cannot be shown' in text}
    assert reasons == {f'not in {videos}', 'it is damaged or no video'}
    assert not {'script', 'b', 'link', 'iframe'} & set(page.tags)
    assert '<script>x</script>.mp4' in page.texts
    sources = [value for _, name, value in page.attributes if name in ('src', 'href')]
    assert sources
    assert all(value.startswith('data:image/jpeg;base64,') for value in sources)
    assert not re.search(r'https?:|url\(|@import', page.source)


def test_a_perfect_test_has_no_worst_text(run, tmp_path):
    path = tmp_path / 'perfect.npz'
    names = ['a', 'b']
    save_similarity(
        path, similarity=np.eye(2), video_of_text=np.arange(2), video_ids=names, captions=names
    )
    assert run(matrix=path)[0] == 0
    assert 'Every text finds its video first.' in Page(tmp_path / 'page.html').texts


@pytest.mark.parametrize(
    ('args', 'changes', 'message'),
    [
        ([], dict(matrix='nowhere.npz'), 'similarity file nowhere.npz does not exist'),
        ([], dict(page=ROOT), 'is a folder, expected a file name'),
        (['--videos', 'nowhere'], {}, 'video folder nowhere does not exist'),
        (['--annotations', __file__], {}, 'is not valid JSON'),
    ],
)
def test_errors_are_one_line(run, tmp_path, args, changes, message):
    code, out, err = run(*args, **changes)
    assert (code, out) == (1, '')
    assert err.startswith('error: ')
    assert message in err
    assert err.count('\n') == 1
    assert not (tmp_path / 'page.html').exists()
