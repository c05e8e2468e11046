"""tools/analysis/show_tokens.py from the command line."""

import base64
import re

import cv2
import numpy as np
import pytest
import torch
from tiny import Page

from ts2net_mm.apis import RetrievalInferencer

CAPTION = 'a <b>red</b> circle & "more"'


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis/show_tokens.py')


@pytest.fixture
def run(tool, folder, tmp_path, capsys):
    """Run the tool; returns exit code, stdout and stderr."""

    def run(*options, **changes):
        paths = dict(config='config.py', checkpoint='model.pth', video='videos/3.mp4') | changes
        arguments = [folder / path for path in paths.values()]
        arguments += ['--caption', CAPTION, '--out', tmp_path / 'out', '--device', 'cpu', *options]
        code = tool.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def test_the_pictures_and_the_page(run, folder, tmp_path):
    code, out, _ = run('--step', 7)
    assert (code, out) == (0, f'page: {tmp_path / "out" / "tokens_7.html"}\n')
    names = ('frames', 'chosen', 'scores', 'slots', 'shift')
    files = {path.name for path in (tmp_path / 'out').iterdir()}
    assert files == {f'{name}_7.png' for name in (*names, 'tokens')} | {'tokens_7.html'}
    pictures = [cv2.imread(str(tmp_path / 'out' / f'{name}_7.png')) for name in names]
    whole = cv2.imread(str(tmp_path / 'out' / 'tokens_7.png'))
    np.testing.assert_array_equal(np.concatenate(pictures), whole)
    page = Page(tmp_path / 'out' / 'tokens_7.html')
    assert CAPTION in page.texts
    assert 'b' not in page.tags
    sources = page.values('img', 'src')
    for source, picture in zip(sources, pictures, strict=True):
        data = np.frombuffer(base64.b64decode(source.partition('base64,')[2]), np.uint8)
        np.testing.assert_array_equal(cv2.imdecode(data, cv2.IMREAD_COLOR), picture)
    assert not re.search(r'https?:|url\(|@import', page.source)


def test_the_numbers_on_the_page_are_those_of_the_model(run, folder, tmp_path):
    run()
    page = Page(tmp_path / 'out' / 'tokens_0.html')
    inferencer = RetrievalInferencer(folder / 'config.py', folder / 'model.pth', device='cpu')
    video = next(inferencer.encode_videos([folder / 'videos/3.mp4'], num_workers=1))
    text = inferencer.encode_texts([CAPTION])
    cosines = torch.cosine_similarity(text, video.frame_features[0], dim=-1)
    weights = torch.softmax(4 * cosines / cosines.norm(), dim=0)
    for frame in range(6):
        start = page.texts.index(f'{video.frame_seconds[0, frame]:.2f}')
        assert page.texts[start - 1] == str(frame + 1)
        assert page.texts[start + 1] == f'{cosines[frame]:.4f}'
        assert page.texts[start + 2] == f'{100 * weights[frame]:.2f} %'
        kept = re.findall(r'\((\d), (\d): ([\d.]+)\)', page.texts[start + 3])
        assert sum(float(weight) for _, _, weight in kept) == pytest.approx(3, abs=0.1)
        assert float(kept[0][2]) == max(float(weight) for _, _, weight in kept)


@pytest.mark.slow
def test_tensorboard_gets_the_same_pictures(run, tmp_path):
    loading = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    assert run('--tensorboard')[0] == 0
    events = loading.EventAccumulator(str(tmp_path / 'out'))
    events.Reload()
    assert set(events.Tags()['images']) == {path.stem[:-2] for path in tmp_path.rglob('*.png')}
    (event,) = events.Images('tokens')
    shown = cv2.imdecode(np.frombuffer(event.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    expected = cv2.imread(str(tmp_path / 'out' / 'tokens_0.png'))
    np.testing.assert_array_equal(shown, expected)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(config='nowhere.py'), 'nowhere.py does not exist'),
        (dict(checkpoint='nowhere.pth'), 'nowhere.pth does not exist'),
        (dict(video='nowhere.mp4'), 'nowhere.mp4 does not exist'),
        (dict(video='all.json'), 'all.json: it is damaged or no video'),
    ],
)
def test_errors_are_one_line(run, tmp_path, changes, message):
    code, out, err = run(**changes)
    assert (code, out) == (1, '')
    assert err.startswith('error: ')
    assert message in err
    assert err.count('\n') == 1
    assert not list(tmp_path.rglob('*.*'))


def test_a_caption_without_words_is_a_wrong_argument(tool, capsys):
    with pytest.raises(SystemExit) as stopped:
        tool.main(['config.py', 'model.pth', 'video.mp4', '--caption', ' !', '--out', 'out'])
    assert stopped.value.code == 2
    assert "the sentence ' !' has no word" in capsys.readouterr().err
