"""The reason for which a video cannot be read, in one line."""

import os

import av
import numpy as np
import pytest
from decord import DECORDError
from torch.utils.data import DataLoader

from ts2net_mm.datasets import UnreadableVideoError
from ts2net_mm.video.errors import unreadable_reason

SAMPLERS = {
    'rate': dict(type='SampleFramesByRate', num_frames=4),
    'uniform': dict(type='UniformSample', clip_len=4),
    'uniform test': dict(type='UniformSample', clip_len=4, test_mode=True),
}


def pipeline(sampler: str, init: str = 'VideoInit') -> tuple:
    return (dict(type=init), SAMPLERS[sampler], dict(type='VideoDecode'))


def write_audio(path):
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=16000)
        silence = np.zeros((1, 16000), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format='fltp', layout='mono')
        frame.sample_rate = 16000
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)


def damage(path, how):
    """Replace a good video by a bad one."""
    data = path.read_bytes()
    if how == 'empty':
        path.write_bytes(b'')
    elif how == 'text':
        path.write_text('no video at all\n' * 100)
    elif how == 'truncated':
        path.write_bytes(data[: len(data) // 2])
    elif how == 'wiped':
        start = data.find(b'mdat') + 4
        end = data.find(b'moov') - 4
        path.write_bytes(data[:start] + bytes(end - start) + data[end:])
    elif how == 'folder':
        path.unlink()
        path.mkdir()
    elif how == 'audio':
        path.unlink()
        write_audio(path)
    elif how == 'missing':
        path.unlink()


REASONS = {
    'empty': 'the file is empty',
    'text': 'it is damaged or no video',
    'truncated': 'it is damaged or no video',
    'wiped': 'it has no frames that can be decoded',
    'folder': 'it is a folder',
    'audio': 'it has no video stream (audio only?)',
    'missing': 'the file does not exist',
    'no frames': 'it has no video stream (audio only?)',
}


@pytest.mark.parametrize(
    ('init', 'sampler'), [*(('VideoInit', sampler) for sampler in SAMPLERS), ('DecordInit', 'rate')]
)
@pytest.mark.parametrize('how', REASONS)
def test_bad_files(write_video, make_dataset, init, how, sampler):
    path = write_video('bad.mp4', num_frames=0 if how == 'no frames' else 24)
    dataset = make_dataset({'bad.mp4': ['x']}, pipeline(sampler, init))
    damage(path, how)
    with pytest.raises(UnreadableVideoError) as caught:
        dataset[0]
    assert str(caught.value) == f'cannot read video {path}: {REASONS[how]}'


def test_stream_without_frames(videos, make_dataset):
    with av.open(str(videos / 'bad.mkv'), 'w') as container:
        stream = container.add_stream('mpeg4', rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        container.start_encoding()
    dataset = make_dataset({'bad.mkv': ['x']}, pipeline('rate'))
    with pytest.raises(UnreadableVideoError, match=r'bad\.mkv: it is damaged or no video'):
        dataset[0]


def test_part_without_frames_is_reported_once(write_video, make_dataset):
    path = write_video('short.mp4', num_frames=24)
    dataset = make_dataset(
        {'short.mp4': {'captions': ['x'], 'start': 10, 'end': 12}}, pipeline('rate')
    )
    with pytest.raises(UnreadableVideoError) as caught:
        dataset[0]
    assert str(caught.value) == (
        f'video {path} has no frames between 10 and 12 seconds (24 frames, 12 a second)'
    )


def test_error_reaches_the_main_process_from_a_worker(write_video, make_dataset):
    write_video('a.mp4')
    path = write_video('bad.mp4')
    damage(path, 'truncated')
    dataset = make_dataset(
        {'a.mp4': ['x'], 'bad.mp4': ['x']}, pipeline('rate'), on_bad_video='error'
    )
    loader = DataLoader(dataset, batch_size=1, num_workers=1, collate_fn=list, timeout=60)
    with pytest.raises(UnreadableVideoError, match=f'{path}: it is damaged or no video'):
        list(loader)


def test_other_errors_are_passed_on(write_video, make_dataset):
    def broken(results):
        raise ZeroDivisionError('a bug of mine')

    write_video('a.mp4')
    with pytest.raises(ZeroDivisionError, match='a bug of mine'):
        make_dataset({'a.mp4': ['x']}, (broken,))[0]


def test_reason_for_lack_of_permission(tmp_path, monkeypatch):
    path = tmp_path / 'a.mp4'
    path.write_text('x')
    monkeypatch.setattr(os, 'access', lambda *_: False)
    assert unreadable_reason(str(path), OSError('denied')) == 'no permission to read it'


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (
            DECORDError(
                '[18:23:48] /build/decord/src/video/ffmpeg/threaded_decoder.cc:292: [18:23:48] '
                '/build/decord/src/video/threaded_decoder.cc:218: Check failed: Odd thing '
                'happened.\nStack trace returned 7 entries:\n[bt] (0) libdecord.so'
            ),
            'DECORDError: Check failed: Odd thing happened.',
        ),
        (RuntimeError(''), 'RuntimeError: no further reason'),
        (OSError(5, 'Input/output error'), 'OSError: [Errno 5] Input/output error'),
    ],
)
def test_other_reasons_take_one_line(tmp_path, error, reason):
    path = tmp_path / 'a.mp4'
    path.write_text('x')
    assert unreadable_reason(str(path), error) == reason
