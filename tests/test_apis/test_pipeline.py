import pytest
from mmengine.config import Config

from ts2net_mm.apis.pipeline import split_test_pipeline, with_threads
from ts2net_mm.datasets import TokenizeCaptions

TOKENIZE = dict(type='TokenizeCaptions', max_words=9)
PACK = dict(type='PackActionInputs', collect_keys=('imgs', 'text', 'frame_mask'))


@pytest.mark.parametrize(
    'kind', [TokenizeCaptions, 'TokenizeCaptions', 'mmaction.TokenizeCaptions']
)
def test_videos_lose_the_text_steps(kind):
    cfg = Config(dict(test_pipeline=[dict(type='DecordInit'), dict(TOKENIZE, type=kind), PACK]))
    video, text = split_test_pipeline(cfg)
    assert video == [
        dict(type='GuardedDecordInit', timeout=60.0, num_threads=1),
        dict(type='PackActionInputs', collect_keys=('imgs', 'frame_mask')),
    ]
    assert text == dict(type=kind, max_words=9)
    assert cfg.test_pipeline[-1].collect_keys == PACK['collect_keys']


def test_decoding_is_guarded_where_that_is_possible():
    settings = dict(num_threads=2, io_backend='disk')
    for step, expected in (
        (dict(type='DecordInit', **settings), 'GuardedDecordInit'),
        (dict(type='mmaction.DecordInit'), 'GuardedDecordInit'),
        (dict(type='DecordInit', io_backend='petrel'), 'DecordInit'),
        (dict(type='PyAVInit'), 'PyAVInit'),
    ):
        video, _ = split_test_pipeline(Config(dict(test_pipeline=[step, TOKENIZE, PACK])))
        assert video[0]['type'] == expected
        assert video[0].get('num_threads') == step.get('num_threads', video[0].get('num_threads'))


def test_pixels_are_square_unless_the_config_says_otherwise():
    for settings, expected in (
        ({}, dict(square_pixels=True)),
        (dict(square_pixels=False), dict(square_pixels=False)),
        (dict(decoder='decord'), dict(decoder='decord')),
    ):
        pipeline = [dict(type='VideoInit', **settings), TOKENIZE, PACK]
        video, _ = split_test_pipeline(Config(dict(test_pipeline=pipeline)))
        assert video[0] == dict(type='VideoInit', **expected)


def test_threads_are_those_of_the_config_first():
    steps = [dict(type='VideoInit'), dict(type='mmaction.VideoInit', num_threads=2), PACK]
    assert [step.get('num_threads') for step in with_threads(steps, 4)] == [4, 2, None]


def test_the_pipeline_of_the_test_data_comes_first():
    used = dict(dataset=dict(pipeline=[TOKENIZE]))
    cfg = Config(dict(test_pipeline=[dict(type='Unused')], test_dataloader=used))
    assert split_test_pipeline(cfg) == ([], TOKENIZE)


def test_no_pipeline():
    with pytest.raises(ValueError, match='has no test pipeline'):
        split_test_pipeline(Config(dict(test_dataloader=None)))


def test_no_tokenizer():
    with pytest.raises(ValueError, match=r"has no TokenizeCaptions, found \['DecordInit'\]"):
        split_test_pipeline(Config(dict(test_pipeline=[dict(type='DecordInit')])))


def test_a_frame_store_gives_way_to_decoding():
    decoding = [dict(type='PyAVInit'), dict(type='PyAVDecode')]
    sampling = dict(type='SampleFramesByRate')
    store = dict(type='FrameStoreInit', db_path='nowhere', decoding=decoding)
    pipeline = [store, sampling, dict(type='FrameStoreDecode'), TOKENIZE, PACK]
    video, _ = split_test_pipeline(Config(dict(test_pipeline=pipeline)))
    assert video[:3] == [decoding[0], sampling, decoding[1]]
