import decord
import numpy as np
import pytest

from ts2net_mm.rendered import encode_mp4, is_complete_mp4
from ts2net_mm.rendered.moving_shapes import FPS, Meaning, Scene, sample_scene


def _frames(colour='red'):
    return sample_scene(Meaning(colour, 'circle', ('left',)), np.random.default_rng(0)).draw()


def _decode(path):
    reader = decord.VideoReader(str(path))
    return reader.get_batch(range(len(reader))).asnumpy()


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'video.mp4'
    path.write_bytes(encode_mp4(_frames(), fps=FPS))
    return path


def test_decord_reads_the_frames_and_the_rate(video):
    reader = decord.VideoReader(str(video))
    assert len(reader) == 24
    assert reader.get_avg_fps() == pytest.approx(12)
    assert reader.get_frame_timestamp(23)[0] == pytest.approx(23 / 12, abs=1e-3)
    decoded = _decode(video).astype(float)
    assert decoded.shape == (24, 96, 96, 3)
    # The noise of the background, of standard deviation 8, may lose its details only.
    assert np.abs(decoded - _frames()).mean() < 6
    assert np.abs(decoded.mean(axis=(1, 2, 3)) - _frames().mean(axis=(1, 2, 3))).max() < 2


@pytest.mark.parametrize('colour', ['red', 'green', 'blue', 'yellow', 'white', 'purple'])
def test_colours_survive(tmp_path, colour):
    path = tmp_path / 'video.mp4'
    background = np.full((96, 96), 40, dtype=np.uint8)
    frames = Scene(colour, 'circle', np.full((1, 2), 40.0), np.ones(1) * 14, background).draw()
    path.write_bytes(encode_mp4(frames, fps=FPS))
    difference = _decode(path)[0, 36:44, 36:44].astype(int) - frames[0, 40, 40]
    assert np.abs(difference).max() <= 10


def test_a_reversed_video_decodes_to_the_same_pictures(tmp_path):
    forwards, backwards = tmp_path / 'forwards.mp4', tmp_path / 'backwards.mp4'
    forwards.write_bytes(encode_mp4(_frames(), fps=FPS))
    backwards.write_bytes(encode_mp4(_frames()[::-1], fps=FPS))
    assert np.array_equal(_decode(backwards), _decode(forwards)[::-1])


@pytest.mark.parametrize('keep', [0, 4, 20, 30, 1000, -1])
def test_truncated_file_is_not_complete(video, keep):
    assert is_complete_mp4(video)
    video.write_bytes(video.read_bytes()[:keep])
    assert not is_complete_mp4(video)


@pytest.mark.parametrize('content', [bytes(100), b'no video at all', b'\0\0\0\x08free'])
def test_other_content_is_not_complete(tmp_path, content):
    path = tmp_path / 'video.mp4'
    assert not is_complete_mp4(path)
    path.write_bytes(content)
    assert not is_complete_mp4(path)
