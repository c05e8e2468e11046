import cv2
import numpy as np
import pytest
from mmengine.config import Config

from ts2net_mm.apis.reading import FrameReader, PipelineReader, split_test_pipeline, with_threads
from ts2net_mm.datasets import TokenizeCaptions
from ts2net_mm.rendered import encode_mp4
from ts2net_mm.utils.workers import Failure, map_in_workers

TOKENIZE = dict(type='TokenizeCaptions', max_words=9)
PACK = dict(type='PackActionInputs', collect_keys=('imgs', 'text', 'frame_mask'))

REASONS = {
    'audio.mp4': 'it has no video stream (audio only?)',
    'cut.mp4': 'it is damaged or no video',
    'empty.mp4': 'the file is empty',
    'link.mp4': 'the file does not exist',
    'pipe.mp4': 'it is no regular file',
    'text.mp4': 'it is damaged or no video',
}
DECODE = [
    dict(type='DecordInit'),
    dict(type='SampleFramesByRate', num_frames=4, frame_rate=3),
    dict(type='DecordDecode'),
]


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


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(test_dataloader=None), 'has no test pipeline'),
        (
            dict(test_pipeline=[dict(type='DecordInit')]),
            r"has no TokenizeCaptions, found \['DecordInit'\]",
        ),
    ],
)
def test_configs_without_a_usable_pipeline(settings, message):
    with pytest.raises(ValueError, match=message):
        split_test_pipeline(Config(settings))


def test_a_frame_store_gives_way_to_decoding():
    decoding = [dict(type='PyAVInit'), dict(type='PyAVDecode')]
    sampling = dict(type='SampleFramesByRate')
    store = dict(type='FrameStoreInit', db_path='nowhere', decoding=decoding)
    pipeline = [store, sampling, dict(type='FrameStoreDecode'), TOKENIZE, PACK]
    video, _ = split_test_pipeline(Config(dict(test_pipeline=pipeline)))
    assert video[:3] == [decoding[0], sampling, decoding[1]]


@pytest.mark.parametrize('reader', [PipelineReader, FrameReader])
def test_bad_files_give_a_reason(bad_folder, reader):
    # in a worker: decord writes the file's content to stderr
    paths = [str(bad_folder / name) for name in REASONS]
    results = dict(map_in_workers(reader(pipeline=DECODE), paths))
    assert results == {
        path: Failure(reason) for path, reason in zip(paths, REASONS.values(), strict=True)
    }


def test_padding_is_masked_and_not_shown(inferencer, video_folder):
    packed = PipelineReader(pipeline=inferencer.video_pipeline)(str(video_folder / 'short.mp4'))
    assert set(packed['inputs']) == {'imgs', 'frame_mask'}
    assert packed['inputs']['imgs'].shape == (4, 3, 24, 24)
    assert packed['inputs']['frame_mask'].tolist() == [True, True, False, False]
    frames = FrameReader(pipeline=inferencer.video_pipeline)(str(video_folder / 'short.mp4'))
    assert len(frames) == 2


def decode(jpeg: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def test_frames_are_those_of_the_pipeline_whole_and_in_colour(inferencer, video_folder):
    path = str(video_folder / '0.mp4')
    frames = FrameReader(pipeline=inferencer.video_pipeline)(path)
    results = dict(filename=path)
    reader = PipelineReader(pipeline=DECODE)
    for transform in reader.transforms:
        results = transform(results)
    seconds = [index / 6 for index in results['frame_inds']]
    assert [frame.seconds for frame in frames] == pytest.approx(seconds)
    for frame, image in zip(frames, results['imgs'], strict=True):
        assert image.shape == (32, 40, 3)
        assert np.abs(decode(frame.jpeg).astype(int) - image).mean() < 12
    assert np.abs(decode(frames[0].jpeg).astype(int) - results['imgs'][1]).mean() > 40


def test_many_frames_are_thinned_and_all_but_the_best_are_made_smaller(video_folder):
    path = str(video_folder / '0.mp4')
    sampling = dict(type='UniformSample', clip_len=12, test_mode=True)
    pipeline = [DECODE[0], sampling, DECODE[2]]
    best = FrameReader(pipeline=pipeline)(path)[4].seconds
    large = {path: [best], 'other': [0.0]}
    frames = FrameReader(pipeline=pipeline, max_frames=3, max_height=8, large=large)(path)
    assert [frame.height for frame in frames if frame.seconds == best] == [16]
    assert [frame.height for frame in frames if frame.seconds != best] == [8, 8, 8]
    assert [frame.seconds for frame in frames] == sorted({frame.seconds for frame in frames})
    assert all(decode(frame.jpeg).shape == (frame.height, frame.width, 3) for frame in frames)


@pytest.mark.parametrize('opening', ['DecordInit', 'VideoInit'])
def test_frames_at_some_times_are_those_shown_then(tmp_path, opening):
    """Every frame has another brightness, so that a picture says which it is."""
    greys = 20 * np.arange(12, dtype=np.uint8)
    images = np.broadcast_to(greys[:, None, None, None], (12, 32, 40, 3))
    path = tmp_path / 'video.mp4'
    path.write_bytes(encode_mp4(np.ascontiguousarray(images), fps=6))
    pipeline = [dict(type=opening), DECODE[1], dict(type=opening.replace('Init', 'Decode'))]
    # of frame 7, between 3 and 4, slightly before 9 as single precision has it, of 0, past the end
    times = [7 / 6, 3.5 / 6, float(np.float32(9 / 6)) - 1e-6, 0.0, 5.0]
    frames = FrameReader(pipeline=pipeline, times={str(path): times})(str(path))
    assert [frame.seconds for frame in frames] == times
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4]
    found = [round(decode(frame.jpeg).mean() / 20) for frame in frames]
    assert found == [7, 3, 9, 0, 11]


def test_pictures_are_numbered_as_the_frames_that_count(inferencer, video_folder):
    path = str(video_folder / 'short.mp4')  # two of its four frames count
    pipeline = inferencer.video_pipeline
    assert [frame.number for frame in FrameReader(pipeline=pipeline)(path)] == [0, 1]
    sampling = dict(type='UniformSample', clip_len=9, test_mode=True)
    path = str(video_folder / '0.mp4')
    reader = FrameReader(pipeline=[DECODE[0], sampling, DECODE[2]], max_frames=3)
    assert [frame.number for frame in reader(path)] == [0, 4, 8]
