"""tools/search.py on an index of tools/encode.py."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from tiny import ROOT, Page

from ts2net_mm.apis import RetrievalInferencer
from ts2net_mm.rendered import encode_mp4
from ts2net_mm.search import VideoIndex, copy_index
from ts2net_mm.search.examples import encode_example

SENTENCE = 'a red circle moves left'


@pytest.fixture(scope='module')
def inferencer(folder):
    return RetrievalInferencer(folder / 'config.py', folder / 'model.pth', device='cpu')


@pytest.fixture
def search(load_tool, folder, index, capsys):
    tool = load_tool('search.py')

    def search(*args, index=index, weights=folder / 'model.pth'):
        options = ['--device', 'cpu', '--workers', '1']
        files = [folder / 'config.py', weights, index]
        code = tool.main([*map(str, [*files, *args]), *options])
        return code, *capsys.readouterr()

    return search


def hits_of(out):
    (query,) = json.loads(out)['queries']
    return query['hits']


def expected_hits(index, feature, **options):
    return VideoIndex(index).search(np.asarray(feature)[None], **options)[0].hits


def test_a_table_with_moments(search, index, inferencer):
    code, out, err = search(SENTENCE, 'blue', '--topk', '2')
    assert (code, err) == (0, '8 videos, 14 windows\n')
    assert out.splitlines()[0] == SENTENCE
    assert out.splitlines()[3] == 'blue'
    hit = expected_hits(index, inferencer.encode_texts([SENTENCE])[0])[0]
    start, end, best = (int(getattr(hit.moments[0], n)) for n in ('start', 'end', 'best_seconds'))
    times = [f'0:{start:02}-0:{end:02}', 'at', f'0:{best:02}']
    assert out.splitlines()[1].split() == ['1', f'{hit.score:.4f}', *times, hit.path]


def test_json(search, index, inferencer):
    code, out, _ = search(SENTENCE, '--json')
    assert code == 0
    found = json.loads(out)
    assert (found['index'], found['videos']) == (str(index), 8)
    assert found['queries'][0]['exact'] is True
    expected = expected_hits(index, inferencer.encode_texts([SENTENCE])[0], topk=5)
    for hit, other in zip(hits_of(out), expected, strict=True):
        assert (hit['video'], hit['rank']) == (other.path, other.rank)
        assert hit['score'] == pytest.approx(other.score, abs=1e-5)
        assert [(m['start'], m['best_seconds']) for m in hit['moments']] == [
            (m.start, m.best_seconds) for m in other.moments
        ]


def test_an_index_in_milvus(search, index, tmp_path):
    pytest.importorskip('pymilvus', reason='pymilvus is not installed')
    pytest.importorskip('milvus_lite', reason='milvus-lite is not installed')
    database = tmp_path / 'gallery.db'
    copy_index(index, database)
    example = VideoIndex(index).store.view().video(0).path
    options = ['--like', example, '--minus', 'blue', '--under', os.path.dirname(example)]
    for arguments in ([SENTENCE], [SENTENCE, *options]):
        expected, found = (search(*arguments, index=place) for place in (index, database))
        assert found == expected
    code, _, err = search(SENTENCE, index=tmp_path / 'nothing.db')
    assert (code, 'nothing.db does not exist' in err) == (1, True)


def test_the_model_is_not_imported(folder, index):
    """The copy of the text encoder is enough: neither MMAction2 nor MMPretrain is imported."""
    code = (
        'import runpy, sys\n'
        f'sys.argv = [{str(ROOT / "tools/search.py")!r}, *sys.argv[1:]]\n'
        'try:\n'
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        'except SystemExit as end:\n'
        '    assert end.code == 0\n'
        "for name in ('mmaction', 'mmpretrain', 'torchvision', 'cv2', 'av'):\n"
        '    assert name not in sys.modules, name\n'
    )
    files = [folder / 'config.py', folder / 'model.pth', index]
    subprocess.run([sys.executable, '-c', code, *map(str, files), SENTENCE], check=True)


def test_another_copy_of_the_weights_is_recognised(search, folder, index, tmp_path):
    """They are compared by their content, and then the index knows them by name."""
    shutil.copytree(index, tmp_path / 'index')
    shutil.copy(folder / 'model.pth', tmp_path / 'copy.pth')
    options = dict(index=tmp_path / 'index', weights=tmp_path / 'copy.pth')
    outputs = {search(SENTENCE, **options)[:2] for _ in range(2)}
    assert outputs == {search(SENTENCE)[:2]}
    before = (index / 'text_encoder/settings.json').read_text()
    assert (tmp_path / 'index/text_encoder/settings.json').read_text() != before


def test_other_weights_are_refused(search, folder, tmp_path):
    content = torch.load(folder / 'model.pth')
    content['state_dict']['text_encoder.proj.weight'] += 1
    torch.save(content, tmp_path / 'other.pth')
    code, out, err = search(SENTENCE, weights=tmp_path / 'other.pth')
    assert (code, out) == (1, '')
    assert 'was made with another model or pipeline (config.py with model.pth)' in err


def features_of(inferencer, *paths):
    """The mean of the normalised frames of each file."""
    (batch,) = inferencer.encode_videos(paths)
    frames = torch.nn.functional.normalize(batch.frame_features.double(), dim=-1)
    return frames.mean(dim=1).numpy()


def test_like_a_video_of_the_index(search, folder, index):
    path = str(folder / 'videos/7.mp4')
    code, out, _ = search('--like', path, '--json')
    view = VideoIndex(index).store.view()
    frames = view.read_frames(view.windows_of(view.find(path).number))['frames']
    expected = expected_hits(index, frames.astype(float).mean(axis=(0, 1)), topk=5)
    assert code == 0
    assert [hit['video'] for hit in hits_of(out)] == [hit.path for hit in expected]


def test_like_a_video_outside_the_index(search, folder, index, inferencer, tmp_path):
    shutil.copy(folder / 'videos/3.mp4', tmp_path / 'copy.mp4')
    code, out, _ = search('--like', tmp_path / 'copy.mp4', '--json')
    (feature,) = features_of(inferencer, folder / 'videos/3.mp4')
    expected = expected_hits(index, feature, topk=5)
    assert code == 0
    assert [hit['video'] for hit in hits_of(out)] == [hit.path for hit in expected]
    assert hits_of(out)[0]['score'] == pytest.approx(expected[0].score, abs=1e-5)


def test_like_a_picture(search, index, inferencer, tmp_path):
    """A picture is a video that shows nothing else."""
    picture = (
        np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    )
    cv2.imwrite(str(tmp_path / 'a.png'), picture)
    (tmp_path / 'a.mp4').write_bytes(encode_mp4(picture[None, :, :, ::-1].repeat(12, 0), fps=6))
    code, out, _ = search('--like', tmp_path / 'a.png', '--json')
    (feature,) = features_of(inferencer, tmp_path / 'a.mp4')
    scores = {hit.path: hit.score for hit in expected_hits(index, feature, topk=8)}
    assert code == 0
    for hit in hits_of(out):
        assert hit['score'] == pytest.approx(scores[hit['video']], abs=0.02)  # MP4 is lossy


def test_like_what_cannot_be_read(search, tmp_path):
    (tmp_path / 'text.mp4').write_text('no video')
    code, _, err = search('--like', tmp_path / 'text.mp4')
    assert code == 1
    assert 'text.mp4 cannot be read: it is damaged or no video' in err


def test_like_a_missing_file(inferencer, capfd):
    with pytest.raises(ValueError, match='nowhere.png cannot be read: the file does not exist'):
        encode_example(inferencer, 'nowhere.png')
    assert capfd.readouterr().err == ''  # nor a warning of OpenCV


def test_minus(search, index, inferencer):
    _, out, _ = search(SENTENCE, '--minus', 'blue', '--json')
    one, other = inferencer.encode_texts([SENTENCE, 'blue']).double().numpy()
    feature = one / np.linalg.norm(one) - 0.5 * other / np.linalg.norm(other)
    expected = expected_hits(index, feature, topk=5)
    assert [hit['video'] for hit in hits_of(out)] == [hit.path for hit in expected]
    assert hits_of(out)[0]['score'] == pytest.approx(expected[0].score, abs=1e-5)
    assert json.loads(out)['minus'] == 'blue'
    assert json.loads(out)['queries'][0]['query'] == SENTENCE


def test_minus_stands_in_the_heading(search):
    _, out, _ = search(SENTENCE, '--minus', 'blue')
    assert out.splitlines()[0] == f'{SENTENCE}, minus blue'
    assert 'minus' not in json.loads(search(SENTENCE, '--json')[1])


def test_filters(search, folder):
    _, out, _ = search(SENTENCE, '--min-seconds', '5', '--json')
    assert [os.path.basename(hit['video']) for hit in hits_of(out)] == ['7.mp4']
    _, out, _ = search(SENTENCE, '--max-seconds', '5', '--topk', '9', '--json')
    assert len(hits_of(out)) == 7
    for options in (['--under', folder], ['--before', '2999-01-01'], ['--after', '2000-01-01']):
        assert len(hits_of(search(SENTENCE, *options, '--topk', '9', '--json')[1])) == 8
    for options in (['--under', '/x'], ['--after', '2999-01-01'], ['--before', '2000-01-01']):
        assert hits_of(search(SENTENCE, *options, '--json')[1]) == []


def test_nothing_fits(search):
    code, out, _ = search(SENTENCE, '--min-score', '0.999')
    assert (code, out.splitlines()) == (0, [SENTENCE, '  nothing fits'])


def test_a_page(search, folder, tmp_path):
    code, _, _ = search(SENTENCE, '--topk', '2', '--html', tmp_path / 'page.html')
    assert code == 0
    page = Page(tmp_path / 'page.html')
    assert SENTENCE in page.texts
    assert len(page.values('video', 'src')) == 2


def test_a_missing_folder_is_named(search):
    assert '--under: the folder /x does not exist here\n' in search(SENTENCE, '--under', '/x')[2]


@pytest.mark.parametrize(
    'args',
    [
        [],
        [SENTENCE, '--after', 'yesterday'],
        [SENTENCE, '--min-seconds', '-3'],
        [SENTENCE, '--max-seconds', 'nan'],
        [SENTENCE, '--minus', ''],
        [SENTENCE, '--amp'],
        [SENTENCE, '--whole'],
        [SENTENCE, '--window', '3'],
    ],
)
def test_wrong_arguments(search, args):
    with pytest.raises(SystemExit) as stop:
        search(*args)
    assert stop.value.code == 2
