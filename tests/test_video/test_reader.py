"""Frames by presentation time, upright: the table in docs/evidence/videos.md."""

import av
import decord
import numpy as np
import pytest

from ts2net_mm.datasets.transforms import frames_by_rate, frames_by_time
from ts2net_mm.video.reader import NoFramesError, VideoReader

X264 = ('-c:v', 'libx264', '-pix_fmt', 'yuv420p')
X265 = ('-c:v', 'libx265', '-pix_fmt', 'yuv420p', '-x265-params', 'log-level=error', '-g', '50')
MPEG4 = ('-c:v', 'mpeg4', '-q:v', '3', '-g', '50')
MPEG2 = ('-c:v', 'mpeg2video', '-q:v', '3', '-g', '12', '-bf', '2')
# file name and how it is encoded
KINDS = {
    'H.264 in MP4': ('h264.mp4', (*X264, '-g', '50')),
    'H.264 with one key frame': ('one_key.mp4', (*X264, '-g', '9999')),
    'H.264 with open groups': (
        'open.mp4',
        (*X264, '-x264-params', 'open-gop=1:keyint=50:bframes=3'),
    ),
    'H.264 in fragments': ('fragments.mp4', (*X264, '-movflags', 'frag_keyframe+empty_moov')),
    'H.264, interlaced, AVCHD': ('avchd.mts', (*X264, '-g', '25', '-x264-params', 'interlaced=1')),
    'H.264, raw stream': ('raw.h264', (*X264, '-g', '50', '-f', 'h264')),
    'H.265 in MP4': ('h265.mp4', X265),
    'AVI, MPEG-4 with B-frames': ('b_frames.avi', (*MPEG4, '-bf', '2')),
    'AVI, MPEG-4 without': ('mpeg4.avi', MPEG4),
    'AVI, packed B-frames': (
        'packed.avi',
        ('-c:v', 'libxvid', '-bf', '2', '-q:v', '3', '-g', '50'),
    ),
    'AVI, Motion JPEG': ('mjpeg.avi', ('-c:v', 'mjpeg', '-q:v', '3')),
    'MPEG-4 with B-frames in MP4': ('mpeg4.mp4', (*MPEG4, '-bf', '2')),
    'transport stream, H.264': ('h264.ts', (*X264, '-g', '50')),
    'transport stream, H.265': ('h265.ts', X265),
    'transport stream, MPEG-2': ('mpeg2.ts', MPEG2),
    'program stream, MPEG-2': ('mpeg2.mpg', MPEG2),
    'program stream, MPEG-1': ('mpeg1.mpg', ('-c:v', 'mpeg1video', '-q:v', '3', '-bf', '2')),
    'MXF, MPEG-2': ('mpeg2.mxf', MPEG2),
    'WMV': ('a.wmv', ('-c:v', 'wmv2', '-q:v', '3', '-g', '50')),
    'Flash video': ('a.flv', ('-c:v', 'flv1', '-q:v', '3', '-g', '50')),
    'VP8 in WebM': ('vp8.webm', ('-c:v', 'libvpx', '-b:v', '1M', '-g', '50')),
    'VP8 in live WebM, no length': ('live.webm', ('-c:v', 'libvpx', '-b:v', '1M', '-live', '1')),
    'VP9 in MKV': ('vp9.mkv', ('-c:v', 'libvpx-vp9', '-b:v', '1M', '-cpu-used', '8')),
    'AV1 in MP4': ('av1.mp4', ('-c:v', 'libsvtav1', '-preset', '12', '-crf', '30', '-g', '50')),
    'Theora in Ogg': ('a.ogv', ('-c:v', 'libtheora', '-q:v', '9')),
    'GIF': ('a.gif', ()),
    '16 pixels wide': ('narrow.mp4', (*X264, '-vf', 'scale=16:96')),
}
# a variable rate: 25 frames per second up to second 2, then five per second
UNEVEN = ('-vf', "setpts='if(lt(N,50),N/25,2+(N-50)/5)/TB'", '-fps_mode', 'vfr')
UNEVEN += ('-enc_time_base', '1/1000')


def sampled(reader):
    """Frame numbers that `SampleFramesByRate` takes at one per second."""
    if (times := reader.uneven_times) is not None:
        return frames_by_time(times)
    return frames_by_rate(len(reader), reader.rate)


@pytest.mark.parametrize('kind', KINDS)
def test_one_frame_a_second(painted, read_number, kind):
    name, arguments = KINDS[kind]
    with VideoReader(str(painted(name, *arguments))) as reader:
        frames = reader.get_frames(sampled(reader))
        assert [frame.shape for frame in frames[:1]] == [(96, 16 if 'narrow' in name else 176, 3)]
        if 'narrow' not in name:
            found = [read_number(frame) for frame in frames]
            assert found == [0, 25, 50, 75, 100, 125]
        assert reader.end == pytest.approx(6, abs=0.1)
        # in any order, with repetition
        again = reader.get_frames(sampled(reader)[::-2])
        np.testing.assert_array_equal(again, frames[::-2])


@pytest.mark.parametrize('name', ['uneven.mp4', 'uneven.mkv'])
def test_variable_rates(painted, read_number, name):
    with VideoReader(str(painted(name, *X264, '-g', '50', *UNEVEN))) as reader:
        frames = reader.get_frames(sampled(reader))
        expected = [0, 25, *range(50, 150, 5)]
        assert [read_number(frame) for frame in frames] == expected
        assert reader.end == pytest.approx(22, abs=0.2)  # MKV need not state the last duration
        assert reader.frame_at(3.1) == 55


# no finer than a frame at a tenth of a second: 25 a second up to second 2, then 12.5 a second
COARSE = ('-vf', "setpts='if(lt(N,50),N/25,2+(N-50)/12.5)/TB'", '-fps_mode', 'vfr')
COARSE += ('-enc_time_base', '1/25')


@pytest.mark.parametrize(
    ('name', 'arguments'),
    [
        ('coarse.mp4', (*X264, '-video_track_timescale', '25')),
        ('coarse.gif', ()),
        # AVI repeats the frame before, by empty chunks
        ('coarse.avi', ('-c:v', 'mjpeg', '-q:v', '3')),
        ('coarse_b.avi', (*MPEG4, '-bf', '2')),
    ],
)
def test_variable_rates_in_coarse_units(painted, read_number, name, arguments):
    with VideoReader(str(painted(name, *arguments, *COARSE))) as reader:
        found = [read_number(frame) for frame in reader.get_frames(sampled(reader))]
        expected = [0, 25, *np.arange(50, 150, 12.5)]
        assert reader.end == pytest.approx(10, abs=0.1)
        assert len(found) == len(expected)
        assert np.abs(np.subtract(found, expected)).max() <= 1


def test_avi_at_a_rate_far_above_that_of_its_frames(remuxed, read_number):
    """A copy from MP4 may state 600 frames a second, of which 24 in a row are the same."""
    with VideoReader(str(remuxed('copy.avi', [], ['-c', 'copy', '-r', '600']))) as reader:
        frames = reader.get_frames(sampled(reader))
        assert [read_number(frame) for frame in frames] == [0, 25, 50, 75, 100, 125]


def test_avi_of_a_screen_that_stands_still(ffmpeg, tmp_path):
    """Its packets are as small as the placeholders of packed MPEG-4, and are none."""
    screen = ('-f', 'lavfi', '-i', 'color=gray:s=64x48:r=25:d=6')
    ffmpeg(*screen, '-c:v', 'msvideo1', tmp_path / 'a.mkv')  # whose unit of time is a millisecond
    ffmpeg('-i', tmp_path / 'a.mkv', '-c', 'copy', tmp_path / 'a.avi')
    with VideoReader(str(tmp_path / 'a.avi')) as reader:
        assert (len(reader), reader.rate) == (150, pytest.approx(25, rel=0.01))


def test_times_that_jump_by_years(painted, tmp_path):
    source = painted('mpeg4.mp4', *KINDS['MPEG-4 with B-frames in MP4'][1])
    with av.open(str(source)) as container, av.open(str(tmp_path / 'a.mkv'), 'w') as copy:
        stream = copy.add_stream_from_template(container.streams.video[0])
        for number, packet in enumerate(container.demux(container.streams.video[0])):
            if packet.size:
                jump = int(1e9 / packet.time_base) if number > 140 else 0
                packet.stream, packet.pts, packet.dts = stream, packet.pts + jump, packet.dts + jump
                copy.mux_one(packet)
    with pytest.raises(NoFramesError, match='its times span 1,000,000,00. seconds'):
        VideoReader(str(tmp_path / 'a.mkv'))


def test_transport_streams_are_not_decoded_from_their_start(painted, monkeypatch):
    """A seek lands behind its target there; one a second earlier does not."""
    with VideoReader(str(painted('h264.ts', *X264, '-g', '50'))) as reader:
        expected = reader.get_frames([60, 149])
    monkeypatch.setattr(VideoReader, '_decode_in_order', None)
    with VideoReader(str(painted('h264.ts', *X264, '-g', '50'))) as reader:
        np.testing.assert_array_equal(reader.get_frames([60, 149]), expected)


def test_names_that_look_like_addresses(remuxed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('a:b.mp4', 'http:c.mp4'):
        (tmp_path / name).symlink_to(remuxed('h264.mp4', []))
        assert len(VideoReader(name)) == 150


def test_times_that_are_all_equal(painted, read_number, tmp_path):
    """Frames are counted at the rate that the file states."""
    source = painted('mpeg4.mp4', *KINDS['MPEG-4 with B-frames in MP4'][1])
    with av.open(str(source)) as container, av.open(str(tmp_path / 'a.mkv'), 'w') as copy:
        stream = copy.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                packet.stream, packet.pts, packet.dts = stream, 0, 0
                copy.mux_one(packet)
    with VideoReader(str(tmp_path / 'a.mkv')) as reader:
        assert np.all(np.diff(reader.times) > 0)
        frames = reader.get_frames(sampled(reader))
        assert [read_number(frame) for frame in frames] == [0, 25, 50, 75, 100, 125]


@pytest.mark.parametrize('ending', ['ts', 'h264'])
def test_a_size_that_changes(painted, read_number, tmp_path, ending):
    """All frames have the size of the first one, as in FFmpeg."""
    parts = [
        painted(f'{name}.{ending}', *X264, '-g', '50', '-vf', f'scale={size}')
        for name, size in (('large', '176:96'), ('small', '88:48'))
    ]
    path = tmp_path / f'a.{ending}'
    path.write_bytes(b''.join(part.read_bytes() for part in parts))
    with VideoReader(str(path)) as reader:
        assert len(reader) >= 150
        frames = reader.get_frames([0, 75, len(reader) - 1])
        assert frames.shape == (3, 96, 176, 3)
        assert read_number(frames[1]) == 75
        assert read_number(frames[2]) == 149


@pytest.mark.parametrize('threads', [0, 3])
def test_threads_change_nothing(painted, threads):
    for kind in ('H.264 in MP4', 'H.264 with one key frame', 'AVI, packed B-frames', 'GIF'):
        path = str(painted(KINDS[kind][0], *KINDS[kind][1]))
        expected = VideoReader(path).get_frames([3, 40, 41, 99, 147])
        frames = VideoReader(path, num_threads=threads).get_frames([3, 40, 41, 99, 147])
        np.testing.assert_array_equal(frames, expected)


def test_every_frame_alone_is_the_frame_among_all(painted):
    """Although the decoder skips frames to which no other frame refers."""
    for kind in ('H.264 in MP4', 'H.264 with open groups', 'MPEG-4 with B-frames in MP4'):
        with VideoReader(str(painted(KINDS[kind][0], *KINDS[kind][1]))) as reader:
            expected = reader.get_frames(range(150))
            for number in range(0, 150, 7):
                np.testing.assert_array_equal(reader.get_frames([number])[0], expected[number])


@pytest.mark.parametrize('seconds', ['1.3', '2'])
def test_edit_lists(remuxed, read_number, seconds):
    """A trimmed phone video: the file contains frames before the cut that are not shown."""
    with VideoReader(str(remuxed(f'cut{seconds}.mp4', ['-ss', seconds]))) as reader:
        first = -int(-float(seconds) * 25 // 1)
        assert [read_number(frame) for frame in reader.get_frames([0, 50])] == [first, first + 50]
        assert len(reader) == 150 - first


def test_late_videos_start_late(ffmpeg, painted, read_number):
    source = painted('h264.mp4', *X264, '-g', '50')
    path = source.with_name('late.mp4')
    sound = ('-f', 'lavfi', '-i', 'sine=duration=8')
    ffmpeg(
        *sound, '-itsoffset', '1.5', '-i', source, '-c:v', 'copy', '-map', '0', '-map', '1', path
    )
    with VideoReader(str(path)) as reader:
        assert reader.times[0] == pytest.approx(1.5, abs=0.05)
        frames = reader.get_frames(sampled(reader))
        numbers = [read_number(frame) for frame in frames]
        expected = [max(0, 25 * second - round(25 * reader.times[0])) for second in range(8)]
        assert np.abs(np.subtract(numbers, expected)).max() <= 1


def test_slides_that_start_late(ffmpeg, painted, read_number):
    slides = painted('slides.mp4', *X264, '-vf', 'setpts=25*PTS', '-r', '1', '-frames:v', '8')
    path = slides.with_name('late_slides.mp4')
    sound = ('-f', 'lavfi', '-i', 'sine=duration=8')
    ffmpeg(*sound, '-itsoffset', '3', '-i', slides, '-c:v', 'copy', '-map', '0', '-map', '1', path)
    with VideoReader(str(path)) as reader:
        assert sampled(reader)[:5].tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize('turn', ['90', '180', '270', 'hflip', 'vflip', '90 hflip', '270 hflip'])
def test_upright_as_ffmpeg_shows_it(ffmpeg, remuxed, turn):
    before = []
    for word in turn.split():
        before += [f'-display_{word}'] if 'flip' in word else ['-display_rotation', word]
    path = remuxed(f'{turn}.mp4', before)
    shown = ffmpeg('-i', path, '-frames:v', '1', '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-')
    (frame,) = VideoReader(str(path)).get_frames([0])
    assert frame.shape[:2] == ((176, 96) if turn[0] in '92' else (96, 176))
    np.testing.assert_array_equal(np.frombuffer(shown, np.uint8).reshape(frame.shape), frame)


def test_square_pixels(painted, read_number):
    path = str(painted('anamorphic.mp4', *X264, '-vf', 'setsar=4/3'))
    assert VideoReader(path).get_frames([7]).shape == (1, 96, 176, 3)
    (frame,) = VideoReader(path, square_pixels=True).get_frames([7])
    assert frame.shape == (96, 235, 3)
    assert read_number(frame) == 7


def test_a_cover_picture_is_no_video(ffmpeg, painted, read_number):
    source = painted('h264.mp4', *X264, '-g', '50')
    path, cover = source.with_name('cover.mp4'), source.with_name('cover.png')
    ffmpeg('-f', 'lavfi', '-i', 'color=red:64x64', '-frames:v', '1', cover)
    streams = ('-map', '0', '-map', '1', '-c', 'copy', '-disposition:v:0', 'attached_pic')
    ffmpeg('-i', cover, '-i', source, *streams, path)
    with VideoReader(str(path)) as reader:
        assert read_number(reader.get_frames([75])[0]) == 75
    only = source.with_name('only_cover.m4a')
    sound = ('-f', 'lavfi', '-i', 'sine=duration=1')
    ffmpeg('-i', cover, *sound, '-map', '1', '-map', '0', '-c:v', 'copy', *streams[-2:], only)
    with pytest.raises(NoFramesError, match='it has a cover picture, but no video stream'):
        VideoReader(str(only))


@pytest.mark.parametrize('pixels', ['yuv420p', 'yuv444p', 'yuv420p10le', 'gray'])
@pytest.mark.parametrize('colours', ['bt709', 'smpte170m'])
def test_colours_are_those_of_ffmpeg(ffmpeg, tmp_path, pixels, colours):
    path = tmp_path / 'a.mp4'
    pattern = ('-f', 'lavfi', '-i', 'gradients=size=128x96:duration=0.2:seed=1')
    stated = ('-colorspace', colours, '-color_primaries', colours, '-color_trc', colours)
    ffmpeg(*pattern, '-c:v', 'libx264', '-pix_fmt', pixels, '-qp', '0', *stated, path)
    shown = ffmpeg('-i', path, '-frames:v', '1', '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-')
    (frame,) = VideoReader(str(path)).get_frames([0])
    expected = np.frombuffer(shown, np.uint8).reshape(frame.shape)
    difference = np.abs(expected.astype(int) - frame)
    # for 10 bits and 4:2:0, FFmpeg interpolates colours differently at edges
    assert difference.max() <= (16 if '10' in pixels else 3)
    assert difference.mean() < 0.5


@pytest.mark.parametrize(
    'kind', ['H.264 in MP4', 'H.265 in MP4', 'VP8 in WebM', 'AVI, Motion JPEG']
)
def test_the_pixels_of_decord(painted, kind):
    name, arguments = KINDS[kind]
    path = str(painted(name, *arguments))
    numbers = np.arange(0, 150, 29)
    expected = decord.VideoReader(path).get_batch(numbers).asnumpy()
    np.testing.assert_array_equal(VideoReader(path).get_frames(numbers), expected)


def test_damage_in_the_middle(painted, read_number, tmp_path):
    """The last good frame is repeated, as in players, up to the next key frame."""
    data = bytearray(painted('vp8.webm', *KINDS['VP8 in WebM'][1]).read_bytes())
    place = len(data) // 3
    data[place : place + 2000] = bytes(2000)
    path = tmp_path / 'a.webm'
    path.write_bytes(data)
    with VideoReader(str(path)) as reader:
        frames = reader.get_frames(range(len(reader)))
        assert read_number(frames[0]) == 0
        assert read_number(frames[-1]) == 149


def test_content_instead_of_a_path(painted):
    path = painted('h264.mp4', *X264, '-g', '50')
    expected = VideoReader(str(path)).get_frames([0, 77])
    with path.open('rb') as file:
        np.testing.assert_array_equal(VideoReader(file).get_frames([0, 77]), expected)


def test_numbers_that_do_not_exist(painted):
    with VideoReader(str(painted('h264.mp4', *X264, '-g', '50'))) as reader:
        for numbers in ([150], [-1], []):
            with pytest.raises(IndexError, match='of a video of 150 frames'):
                reader.get_frames(numbers)


@pytest.mark.parametrize('ending', ['png', 'jpg', 'gif', 'webp', 'avif', 'tiff'])
def test_a_picture_is_no_video(ffmpeg, tmp_path, ending):
    path = tmp_path / f'a.{ending}'
    ffmpeg('-f', 'lavfi', '-i', 'testsrc2=size=64x64', '-frames:v', '1', path)
    with pytest.raises(NoFramesError, match='it is a picture'):
        VideoReader(str(path))
    path.rename(tmp_path / 'photo')
    with pytest.raises(NoFramesError, match='it is a picture'):
        VideoReader(str(tmp_path / 'photo'))


def test_lists_and_texts_are_no_videos(painted, tmp_path):
    source = painted('h264.mp4', *X264, '-g', '50')
    (tmp_path / 'a.mp4').write_bytes(source.read_bytes())
    (tmp_path / 'list.dat').write_text("ffconcat version 1.0\nfile 'a.mp4'\n")
    with pytest.raises(NoFramesError, match='it is a list of other files'):
        VideoReader(str(tmp_path / 'list.dat'))
    (tmp_path / 'remote.m3u8').write_text('#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n')
    with pytest.raises(NoFramesError, match='it is (a list of other files|damaged or no video)'):
        VideoReader(str(tmp_path / 'remote.m3u8'))
    (tmp_path / 'notes.txt').write_text('no video\n' * 99)
    with pytest.raises(NoFramesError, match='it is damaged or no video'):
        VideoReader(str(tmp_path / 'notes.txt'))
