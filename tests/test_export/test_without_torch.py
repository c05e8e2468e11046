"""The programs of an export, which must do what the package does."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from tiny import DATA

from ts2net_mm.datasets.transforms import CLIPResize, frames_by_rate
from ts2net_mm.export import description, export_onnx, onnx_export, video_shape
from ts2net_mm.models import FrameWeightedSimilarity, MeanPooledSimilarity
from ts2net_mm.search import VideoStore
from ts2net_mm.search.encoding import encode_into
from ts2net_mm.search.exporting import export_features
from ts2net_mm.search.targets import Target
from ts2net_mm.video.video_files import find_videos

pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def programs(inferencer, tmp_path_factory):
    """Function that imports a program from a folder with a description."""
    folder = tmp_path_factory.mktemp('programs')
    shape = video_shape(inferencer)
    vocabulary = shutil.copy(onnx_export.default_bpe(), folder)
    described = description.describe(
        inferencer, shape, vocabulary=Path(vocabulary).name, precision='float32'
    )
    (folder / 'export.json').write_text(json.dumps(described))

    def program(name):
        shutil.copy(onnx_export.SCRIPTS / f'{name}.py', folder)
        spec = importlib.util.spec_from_file_location(f'exported_{name}', folder / f'{name}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return {name: program(name) for name in ('search', 'encode')}


@pytest.fixture(scope='module')
def tokenizers(programs):
    """The program's tokenizer and open_clip's."""
    search = programs['search']
    return search.Tokenizer(search.SETTINGS['text']), SimpleTokenizer(context_length=12)


def test_reference_tokens(tokenizers):
    tokenizer, _ = tokenizers
    for case in json.loads((DATA / 'tokenizer.json').read_text()):
        tokenizer.settings['context_length'] = case['max_words']
        assert tokenizer(case['text']).tolist() == [case['ids']]


@given(st.text() | st.text("aeinrst '.,1é\u2028", max_size=80))
def test_tokens_of_any_text(tokenizers, text):
    tokenizer, expected = tokenizers
    tokenizer.settings['context_length'] = 12
    assert tokenizer(text).tolist() == expected(text).tolist()


@pytest.mark.parametrize('similarity', [FrameWeightedSimilarity(), MeanPooledSimilarity()])
def test_similarity(programs, monkeypatch, similarity):
    search = programs['search']
    monkeypatch.setitem(search.SETTINGS['similarity'], 'type', type(similarity).__name__)
    text, frames = torch.randn(1, 16), torch.randn(50, 4, 16)
    mask = torch.arange(4) < torch.randint(1, 5, (50, 1))
    found = search.similarity(text[0].numpy(), frames.numpy(), mask.numpy())
    expected = similarity(text, frames, mask)[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize('size', [(64, 48), (47, 101), (32, 32), (20, 31)])
def test_pictures(programs, size):
    encode = programs['encode']
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = encode.prepare(Image.fromarray(picture))
    expected = CLIPResize(size=32)._resize(picture).astype(np.float32)
    expected = (expected - encode.VIDEO['mean']) / encode.VIDEO['std']
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), atol=1e-5)


def test_chosen_frames(programs):
    for total in (1, 7, 100, 1000):
        for fps, rate in ((29.97, 1), (10, 3), (0.5, 1), (24, 2)):
            frames = frames_by_rate(total, fps, frame_rate=rate)
            expected = frames[np.linspace(0, len(frames) - 1, min(len(frames), 12), dtype=int)]
            found = programs['encode'].choose_frames(total, fps, rate, 12)
            assert found.tolist() == expected.tolist()


# None in sys.modules makes an import fail
RUN = """
import runpy, sys
blocked = ('torch', 'torchvision', 'open_clip', 'mmengine', 'mmcv', 'mmaction', 'ts2net_mm')
sys.modules.update(dict.fromkeys(blocked))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def run(*arguments, code=0):
    command = [sys.executable, '-c', RUN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_search_in_a_process_without_torch(inferencer, project, tmp_path):
    folder, index = tmp_path / 'onnx', tmp_path / 'features.npz'
    export_onnx(inferencer, folder, shape=video_shape(inferencer), check=False)
    videos = sorted(project.glob('*.mp4'))
    (tmp_path / 'text.mp4').write_text('no video')
    bad = [tmp_path / name for name in ('text.mp4', 'nowhere.mp4')]
    messages = run(folder / 'encode.py', index, bad[0], *videos, bad[1])
    assert [line.split(': ')[0] for line in messages.splitlines()] == [f'skipped {b}' for b in bad]
    message = run(folder / 'encode.py', tmp_path / 'none.npz', *bad, code=1)
    assert message.endswith('error: none of the videos can be read\n')
    with np.load(index) as found:
        (expected,) = inferencer.encode_videos(videos, num_workers=1)
        assert found['path'].tolist() == expected.paths
        mask = expected.frame_mask.numpy()
        assert found['num_frames'].tolist() == mask.sum(axis=1).tolist()
        np.testing.assert_allclose(found['frame_seconds'], expected.frame_seconds, atol=1e-6)
        np.testing.assert_allclose(
            found['features'][mask], expected.frame_features.numpy()[mask], atol=1e-3
        )
    sentence = 'a small dog catches a ball'
    scores = (
        inferencer.model.similarity(
            inferencer.encode_texts([sentence]), expected.frame_features, expected.frame_mask
        )[0]
        / inferencer.model.head.logit_scale.exp()
    )
    ranked = scores.argsort(descending=True).tolist()
    lines = run(folder / 'search.py', index, sentence).splitlines()
    assert [line.split()[-1] for line in lines] == [expected.paths[place] for place in ranked]
    found_scores = [float(line.split()[0]) for line in lines]
    assert found_scores == pytest.approx(scores[ranked].tolist(), abs=2e-4)

    encode_into(Target(tmp_path / 'index'), find_videos(project), inferencer, windowing=None)
    store = VideoStore(tmp_path / 'index')
    export_features(store.view(), index, fingerprint=store.description.fingerprint)
    lines = run(folder / 'search.py', index, sentence).splitlines()
    assert [line.split()[-1] for line in lines] == [expected.paths[place] for place in ranked]

    np.savez(index, **dict(np.load(index), fingerprint='another'))
    message = run(folder / 'search.py', index, sentence, code=1)
    assert 'was encoded by another model' in message
    message = run(folder / 'search.py', tmp_path / 'missing.npz', sentence, code=1)
    assert 'missing.npz cannot be read: ' in message
    index.write_bytes(index.read_bytes()[:500])
    assert 'features.npz cannot be read: ' in run(folder / 'search.py', index, sentence, code=1)
    for arguments in (['search.py', index], ['search.py', index, ' '], ['encode.py', index]):
        assert 'error: expected an index and' in run(folder / arguments[0], *arguments[1:], code=1)
