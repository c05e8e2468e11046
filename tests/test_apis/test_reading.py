import cv2
import numpy as np
import pytest
from decord import DECORDError

from ts2net_mm.apis.reading import FrameReader, PipelineReader, explain
from ts2net_mm.utils.workers import Failure, map_in_workers

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


@pytest.mark.parametrize('reader', [PipelineReader, FrameReader])
@pytest.mark.parametrize('name', REASONS)
def test_bad_files_give_a_reason(bad_folder, reader, name):
    # in a worker: decord writes the file's content to stderr
    path = str(bad_folder / name)
    ((_, result),) = map_in_workers(reader(pipeline=DECODE), [path])
    assert result == Failure(REASONS[name])


def test_a_video_without_frames(video_folder):
    reader = PipelineReader(pipeline=DECODE)
    reader.transforms[0] = lambda results: dict(results, total_frames=0, avg_fps=10.0)
    result = reader(str(video_folder / '0.mp4'))
    assert result == Failure('it has no frames (0 frames, 10 a second)')


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (DECORDError('x.cc:1: Error: av_read_frame failed with 109'), 'it is damaged or cut off'),
        (DECORDError('x.cc:1: Unable to handle EOF because'), 'it ends before its last frame'),
        (KeyError('frame_mask'), "KeyError: 'frame_mask'"),
        (ValueError('first line\nsecond line'), 'ValueError: first line'),
    ],
)
def test_reasons_are_one_line(video_folder, error, reason):
    text = explain(error, str(video_folder / '0.mp4'))
    assert text.endswith(reason)
    assert '\n' not in text


def test_packed_inputs_travel_as_arrays(inferencer, video_folder):
    packed = PipelineReader(pipeline=inferencer.video_pipeline)(str(video_folder / 'short.mp4'))
    assert set(packed['inputs']) == {'imgs', 'frame_mask'}
    assert packed['inputs']['imgs'].shape == (4, 3, 24, 24)
    assert packed['inputs']['frame_mask'].tolist() == [True, True, False, False]
    assert isinstance(packed['inputs']['imgs'], np.ndarray)


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


def test_frames_beyond_the_end_are_left_out(inferencer, video_folder):
    frames = FrameReader(pipeline=inferencer.video_pipeline)(str(video_folder / 'short.mp4'))
    assert len(frames) == 2


def test_many_and_large_frames_are_thinned_and_made_smaller(video_folder):
    reader = FrameReader(
        pipeline=[
            dict(type='DecordInit'),
            dict(type='UniformSample', clip_len=12, test_mode=True),
            dict(type='DecordDecode'),
        ],
        max_frames=3,
        max_height=16,
    )
    frames = reader(str(video_folder / '0.mp4'))
    assert len(frames) == 3
    assert [decode(frame.jpeg).shape for frame in frames] == [(16, 20, 3)] * 3
    seconds = [frame.seconds for frame in frames]
    assert seconds == sorted(set(seconds))


def test_the_best_frame_is_kept_and_larger(video_folder):
    path = str(video_folder / '0.mp4')
    pipeline = [
        dict(type='DecordInit'),
        dict(type='UniformSample', clip_len=12, test_mode=True),
        dict(type='DecordDecode'),
    ]
    every = FrameReader(pipeline=pipeline)(path)
    best = every[4].seconds
    frames = FrameReader(
        pipeline=pipeline, max_frames=3, max_height=8, large={path: [best], 'other': [0.0]}
    )(path)
    assert [frame.height for frame in frames if frame.seconds == best] == [16]
    assert [frame.height for frame in frames if frame.seconds != best] == [8, 8, 8]
    assert [frame.seconds for frame in frames] == sorted(frame.seconds for frame in frames)
    assert all(decode(one.jpeg).shape == (one.height, one.width, 3) for one in frames)
