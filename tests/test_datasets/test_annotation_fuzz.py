"""Any annotation either loads and can be used, or is rejected by an error that names it."""

import json
import string
from pathlib import Path

import numpy as np
import pytest

from ts2net_mm.datasets import TextVideoDataset, TokenizeCaptions, UnreadableVideoError
from ts2net_mm.datasets.transforms import SampleFramesByRate

hypothesis = pytest.importorskip('hypothesis')
st = hypothesis.strategies

pytestmark = pytest.mark.slow
SETTINGS = hypothesis.settings(
    max_examples=250,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
# with lone surrogates, which Python strings and JSON can hold
ANY_TEXT = st.text(st.characters(), max_size=30) | st.sampled_from(
    [
        '',
        ' ',
        '\0',
        '\ud800',
        '../x',
        '/',
        '.',
        '..',
        'a.mp4',
        'b',
        '\u200b',
        'é' * 300,
        '<|endoftext|>',
    ]
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 1e308, 0, -0.0, 5e-324, True]),
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
CAPTIONS = st.lists(ANY_TEXT | st.text(string.printable, min_size=1), min_size=1, max_size=3)
VIDEO = CAPTIONS | st.fixed_dictionaries(
    {'captions': CAPTIONS},
    optional={
        'start': NUMBERS | st.none() | JSON,
        'end': NUMBERS | st.none() | JSON,
        'text': JSON,
        'place': JSON,
    },
)
ANNOTATION = st.dictionaries(ANY_TEXT, VIDEO, min_size=1, max_size=3)

TOKENIZE = TokenizeCaptions()  # once: it reads a vocabulary


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('fuzz')


def probe(results: dict) -> dict:
    """Replace the decoder: two seconds at twelve frames per second."""
    return results | dict(total_frames=24, avg_fps=12.0)


def load_and_use(folder: Path, content: bytes) -> None:
    path = folder / 'annotation.json'
    path.write_bytes(content)
    try:
        dataset = TextVideoDataset(
            ann_file=str(path),
            data_prefix=dict(video=str(folder)),
            pipeline=(probe, SampleFramesByRate(num_frames=4), TOKENIZE),
            on_missing='drop',
            on_bad_video='error',
        )
    except (ValueError, FileNotFoundError) as error:
        assert str(path) in str(error)
        assert not isinstance(error, UnicodeError)
        return
    for index in range(len(dataset)):
        try:
            item = dataset[index]
        except UnreadableVideoError as error:  # no frames between start and end
            assert item_path(dataset, index) in str(error)
            continue
        assert item['text'].shape == (1, 32)
        assert len(item['frame_inds']) == 4
        assert np.all(item['frame_inds'] < 24)


def item_path(dataset: TextVideoDataset, index: int) -> str:
    return dataset.get_data_info(index)['filename']


@SETTINGS
@hypothesis.given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything(folder, content):
    load_and_use(folder, content)


@SETTINGS
@hypothesis.given(ANNOTATION)
def test_almost_annotations(folder, annotation):
    """All videos exist where the name can be a file's."""
    for name in annotation:
        try:
            path = folder / (name if '.' in name else name + '.mp4')
            if path.parent == folder and path != folder:
                path.touch()
        except (OSError, ValueError):
            pass
    load_and_use(folder, json.dumps(annotation).encode())


@SETTINGS
@hypothesis.given(NUMBERS | st.none(), NUMBERS | st.none())
def test_any_times(folder, start, end):
    (folder / 'a.mp4').touch()
    video = dict(captions=['x'], start=start, end=end)
    load_and_use(folder, json.dumps({'a.mp4': video}).encode())


@SETTINGS
@hypothesis.given(st.text(max_size=200))
def test_any_caption_becomes_tokens(caption):
    hypothesis.assume(not any('\ud800' <= letter <= '\udfff' for letter in caption))
    tokens = TOKENIZE(dict(text=[caption]))['text']
    assert tokens.shape == (1, 32)
    assert tokens[0, 0] == 49406
    assert 49407 in tokens[0]
