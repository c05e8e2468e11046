"""Read the frames of a video by presentation time, from every file that FFmpeg reads."""

from bisect import bisect_right
from collections.abc import Container, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import chain
from typing import Any, BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

__all__ = ['NoFramesError', 'VideoReader']

USUAL_RATE = Fraction(25)  # frames per second, for files that state neither times nor a rate
ROUNDING = 1e-4  # seconds; tolerance for stated times
JITTER = 0.02  # share of a frame's duration; tolerance for times in coarse units
SAME_RATE = 0.01  # largest relative difference between the stated and the mean rate
# FFmpeg's formats that are not videos: pictures (and all names that end in _pipe), lists of other
# files, and text shown as in a terminal
PICTURES = ('image2', 'ico')
STILL_BRANDS = ('avif', 'heic', 'heix', 'mif1')  # HEIF pictures, which use the container of MP4
PLAYLISTS = ('hls', 'dash', 'concat', 'imf', 'sdp', 'rtsp')
TEXTS = ('tty', 'bin', 'xbin', 'adf', 'idf')
MAX_PIXELS = 2**27  # of a frame, 16K; damaged headers may state more than fits into memory
MAX_SECONDS = 1e6  # 11 days; exceeded by damaged files and by recorders that write the date
# largest delay of the first frame by B-frames, in frames and in seconds
REORDERED = 4
MAX_DELAY = 0.2
PLACEHOLDER = 8  # bytes; largest packet of MPEG-4 without a picture, which keeps the count right
SEEK_EARLIER = (0.0, 1.0, 5.0)  # seconds before the target, where a seek lands behind it


class NoFramesError(ValueError):
    """A file without any frame to show; the message is the reason."""


class VideoReader:
    """The frames that a video shows, by number or by time.

    The packets are listed once, without decoding, so that length and times are those of the frames
    that a player shows, with edit lists, variable rates and B-frames. Frames are decoded from the
    key frame before them. If the times of decoded frames disagree with the list (some AVI files,
    raw streams) or a seek lands behind its target (MPEG transport and program streams), the video
    is decoded in order from its start.

    Args:
        file: Path of the video, or its content.
        num_threads: Threads of the decoder; 0 for one per core.
        square_pixels: Stretch the frames of videos whose pixels are not square to the shape in
            which players show them.

    Raises:
        NoFramesError: If it is not a video, or has no video stream or no frames.
        OSError: If the file cannot be opened.

    Attributes:
        times: When each frame is shown, seconds from the start: (N,) float64, ascending.
        end: When the last frame ends, seconds.
    """

    def __init__(
        self, file: str | BinaryIO, *, num_threads: int = 1, square_pixels: bool = False
    ) -> None:
        self.square_pixels = square_pixels
        self.num_threads = num_threads
        self._file = file
        # times of the frames and of the key frames, in units of the stream's time base
        self._pts: list[int] = []
        self._key_pts: list[int] = []
        # whether frames are counted, because their times are missing or not unique
        self._by_order = False
        self._may_seek = True
        self._dts: list[int] = []  # decoding times of the packets
        self._has_placeholders = False  # as where MPEG-4 has two frames in one packet
        self._picture: _Picture | None = None
        self._open()
        try:
            last_duration = self._list_packets()
            if self._by_order:
                last_duration = self._number_by_decoding()
            if len(self) == 1 and self._container.format.name == 'gif':
                raise NoFramesError('it is a picture')
            self._set_times(last_duration)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> 'VideoReader':
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._pts)

    @property
    def rate(self) -> float:
        """Mean frames per second; the stated rate if it is about the same."""
        mean = len(self) / (self.end - float(self.times[0]))
        stated = self._stream.average_rate
        return float(stated) if stated and abs(stated / mean - 1) < SAME_RATE else mean

    @property
    def uneven_times(self) -> np.ndarray | None:
        """Times and end, (N + 1,); None if the rate is constant, with frame n at n / rate.

        The first frame of a stream with B-frames may be a few frames late; that counts as 0.
        """
        if len(self) == 1:
            return None
        step = (self.times[-1] - self.times[0]) / (len(self) - 1)
        tolerance = max(JITTER * step, 1.01 * float(self._time_base))
        evenly = self.times[0] + step * np.arange(len(self))
        is_even = np.all(np.abs(self.times - evenly) <= tolerance)
        if is_even and self.times[0] <= min(REORDERED * step, MAX_DELAY):
            return None
        return np.append(self.times, self.end)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frame_at(self, seconds: float) -> int:
        """Return the number of the frame shown at a time; outside the video the first or last."""
        return max(0, bisect_right(self.times, seconds + ROUNDING) - 1)

    def get_frames(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Decode frames by their numbers, in any order and with repetition.

        A frame that cannot be decoded is replaced by the frame shown before it.

        Returns:
            (len(numbers), H, W, 3) uint8, RGB, upright.

        Raises:
            IndexError: If a number is out of range.
            NoFramesError: If no frame of the video can be decoded.
        """
        wanted = sorted({int(number) for number in numbers})
        if not wanted or not 0 <= wanted[0] <= wanted[-1] < len(self):
            raise IndexError(f'frames {wanted} of a video of {len(self)} frames')
        batch = _Batch(numbers)
        try:
            if not (self._may_seek and self._decode_from_key_frames(wanted, batch)):
                self._may_seek = False
                self._decode_in_order(wanted, batch)
        except (av.FFmpegError, MemoryError) as error:
            raise NoFramesError('it is damaged: frames cannot be decoded') from error
        return batch.frames

    def _open(self) -> None:
        source, options = self._file, None
        if isinstance(source, str):
            with open(source, 'rb') as file:  # for clearer errors than FFmpeg's
                is_empty = not file.read(1)
            # so that neither a name with a colon nor a list of other files opens the network
            source, options = f'file:{source}', dict(protocol_whitelist='file')
        else:
            source.seek(0)
            is_empty = not source.read(1)
            source.seek(0)
        if is_empty:
            raise NoFramesError('the file is empty')
        try:
            self._container = av.open(source, mode='r', metadata_errors='replace', options=options)
        except av.FFmpegError as error:
            raise NoFramesError('it is damaged or no video') from error
        try:
            _reject_other_media(self._container)
            self._stream = _choose_stream(self._container)
            if self._stream.codec_context is None:  # for unknown codecs, against PyAV's type
                raise NoFramesError('FFmpeg does not know its video codec')
        except BaseException:
            self.close()
            raise
        self._time_base = self._stream.time_base or Fraction(1, av.time_base)
        # time of the earliest stream, which defines second 0
        self._start = Fraction(self._container.start_time or 0, av.time_base)
        self._stream.codec_context.thread_count = self.num_threads
        self._stream.codec_context.thread_type = 'AUTO'
        self._stream.codec_context.options = dict(max_pixels=str(MAX_PIXELS))

    def _list_packets(self) -> int:
        """Number the frames by the times of their packets; return the duration of the last."""
        shown: list[tuple[int, int]] = []
        for packet in self._demux():
            if not packet.size:
                continue
            self._has_placeholders |= packet.size <= PLACEHOLDER
            if packet.dts is not None:
                self._dts.append(packet.dts)
            if packet.pts is None:
                self._by_order = True
                continue
            if packet.is_keyframe:
                self._key_pts.append(packet.pts)
            if not packet.is_discard:
                shown.append((packet.pts, packet.duration or 0))
        if self._by_order:
            return 0
        if not shown:
            raise NoFramesError('it has no frames that can be decoded')
        shown.sort()
        self._key_pts.sort()
        self._pts = [pts for pts, _ in shown]
        self._by_order = len(set(self._pts)) < len(self._pts)
        return shown[-1][1]

    def _number_by_decoding(self) -> int:
        """Number the frames by decoding them; return their duration if it follows from the rate."""
        self._reopen()
        self._may_seek = False
        pts = [frame.pts for frame in self._decode()]
        if not pts:
            raise NoFramesError('it has no frames that can be decoded')
        stated = sorted({one for one in pts if one is not None})
        if len(stated) == len(pts):
            self._pts = stated
            return 0
        rate = self._stream.average_rate or self._stream.guessed_rate or USUAL_RATE
        step = max(Fraction(1), 1 / (rate * self._time_base))
        first = self._start / self._time_base
        self._pts = [round(first + number * step) for number in range(len(pts))]
        return round(step)

    def _set_times(self, last_duration: int) -> None:
        self._number = {pts: number for number, pts in enumerate(self._pts)}
        base = float(self._time_base)
        pts: Sequence[float] = self._pts
        rate = self._stream.average_rate
        if 'avi' in self._container.format.name and rate:
            # AVI numbers its frames in decoding order, including those that repeat the picture;
            # the presentation times that FFmpeg derives from this are wrong for B-frames
            self._by_order = True
            is_packed = self._has_placeholders and self._stream.codec_context.name == 'mpeg4'
            is_counted = len(self._dts) == len(self) and not is_packed
            step = 1 / float(rate) / base
            pts = sorted(self._dts) if is_counted else [n * step for n in range(len(self))]
            last_duration = round(float(np.median(np.diff(pts)))) if len(pts) > 1 else 0
        self.times = np.array(pts, dtype=np.float64) * base - float(self._start)
        if last_duration > 0:
            self.end = float(self.times[-1]) + last_duration * base
        elif len(self) > 1:
            self.end = float(self.times[-1] + (self.times[-1] - self.times[0]) / (len(self) - 1))
        else:
            self.end = float(self.times[-1]) + float(1 / USUAL_RATE)
        if self.end - float(self.times[0]) > MAX_SECONDS:
            raise NoFramesError(f'it is damaged: its times span {self.end:,.0f} seconds')

    def _decode_from_key_frames(self, wanted: Sequence[int], batch: '_Batch') -> bool:
        """Decode from the key frame before each wanted frame; return False if that fails."""
        shown = {self._pts[number] for number in wanted}
        frames: Iterator[av.VideoFrame] = iter(())
        position = -1
        for number in wanted:
            key = self._key_before(number)
            if key > position:
                # frames to which no other frame refers are decoded only if they are wanted
                found = self._decode_from(key, shown | {self._pts[key]})
                if found is None:
                    return False
                position, frames = key, found
                frame = next(frames)
            while position < number:
                following = next(frames, None)
                if following is None or following.pts is None:
                    return False
                frame = following
                before, position = position, self._number.get(following.pts, -1)
                if position <= before:
                    return False
            if position > number:  # damaged
                return False
            batch.put(number, self._to_array(frame))
        return True

    def _decode_from(self, key: int, needed: set[int]) -> Iterator[av.VideoFrame] | None:
        """Yield the frames from a key frame on; return None if no seek reaches it."""
        for earlier in SEEK_EARLIER:
            target = self._pts[key] - round(earlier / self._time_base)
            try:
                self._container.seek(target, stream=self._stream)
            except av.FFmpegError:
                return None
            frames = self._decode(needed)
            for frame in frames:
                if frame.pts is None or frame.pts >= self._pts[key]:
                    break
            else:
                continue
            if frame.pts == self._pts[key]:
                return chain([frame], frames)
        return None

    def _key_before(self, number: int) -> int:
        """Return the number of the key frame before a frame; 0 if an edit list removed it."""
        index = bisect_right(self._key_pts, self._pts[number]) - 1
        return self._number.get(self._key_pts[index], 0) if index >= 0 else 0

    def _decode_in_order(self, wanted: Sequence[int], batch: '_Batch') -> None:
        """Decode from the start; a frame that is missing is replaced by the one before it."""
        self._reopen()
        left = list(wanted)
        last: av.VideoFrame | None = None
        for order, frame in enumerate(self._decode()):
            number = order if frame.pts is None or self._by_order else self._number.get(frame.pts)
            if number is None:
                continue
            while left and left[0] < number:
                batch.put(left.pop(0), self._to_array(last or frame))
            last = frame
            if left and left[0] == number:
                batch.put(left.pop(0), self._to_array(frame))
            if not left:
                break
        if last is None:
            raise NoFramesError('it has no frames that can be decoded')
        for number in left:
            batch.put(number, self._to_array(last))

    def _reopen(self) -> None:
        """Return to the start, which a seek does not reach in every format."""
        self.close()
        self._open()

    def _demux(self) -> Iterator[av.Packet]:
        """Yield packets up to the end, or up to unreadable data."""
        # a generator, though typed as an iterator: it leaks unless it is exhausted or closed
        demux: Any = self._container.demux(self._stream)
        with closing(demux) as packets:
            while True:
                try:
                    yield next(packets)
                except (StopIteration, av.FFmpegError):
                    return
                except IndexError:  # of PyAV, at the end of files in which more streams appear
                    return

    def _decode(self, needed: Container[int] | None = None) -> Iterator[av.VideoFrame]:
        """Yield frames in the order in which they are shown; skip damaged packets.

        Args:
            needed: Times of the frames to yield, if not all; the decoder drops others to which no
                frame refers.
        """
        for packet in self._demux():
            if needed is not None and packet.pts is not None:
                is_needed = packet.pts in needed
                self._stream.codec_context.skip_frame = 'DEFAULT' if is_needed else 'NONREF'
            try:
                yield from packet.decode()  # type: ignore[misc]
            except av.FFmpegError:
                continue

    def _to_array(self, frame: av.VideoFrame) -> np.ndarray:
        if self._picture is None:
            aspect = self._stream.sample_aspect_ratio if self.square_pixels else None
            self._picture = _Picture(frame, aspect)
        return self._picture.to_array(frame)


def _reject_other_media(container: InputContainer) -> None:
    """Reject files that FFmpeg opens as a video although they are none."""
    name = container.format.name
    is_still = container.metadata.get('major_brand') in STILL_BRANDS
    if name in PICTURES or name.endswith('_pipe') or is_still:
        raise NoFramesError('it is a picture')
    if name in PLAYLISTS:
        raise NoFramesError('it is a list of other files')
    if name in TEXTS:
        raise NoFramesError('it is damaged or no video')


def _choose_stream(container: InputContainer) -> av.VideoStream:
    """Return FFmpeg's default video stream, except for cover pictures."""
    streams = container.streams.video
    videos = [one for one in streams if not one.disposition & Disposition.attached_pic]
    if not videos:
        raise NoFramesError(
            'it has a cover picture, but no video stream'
            if streams
            else 'it has no video stream (audio only?)'
        )
    best = container.streams.best('video')
    return next((one for one in videos if best is not None and one.index == best.index), videos[0])


class _Batch:
    """Decoded frames in the order of a request.

    Args:
        numbers: Numbers of the frames, with repetition.

    Attributes:
        frames: (len(numbers), H, W, 3) uint8; empty before the first one.
    """

    def __init__(self, numbers: Sequence[int] | np.ndarray) -> None:
        self.numbers = np.asarray(numbers)
        self.frames = np.empty(0, np.uint8)

    def put(self, number: int, frame: np.ndarray) -> None:
        if not self.frames.size:
            self.frames = np.empty((len(self.numbers), *frame.shape), np.uint8)
        self.frames[self.numbers == number] = frame


class _Picture:
    """Converts frames to upright pictures, all of the size of the first one.

    Args:
        first: First decoded frame of the video.
        pixel_aspect: Width of a pixel over its height; None to keep the stored size.
    """

    def __init__(self, first: av.VideoFrame, pixel_aspect: Fraction | None) -> None:
        self._reformatter = VideoReformatter()
        self.width, self.height = first.width, first.height
        if pixel_aspect and self.width * self.height * pixel_aspect <= MAX_PIXELS:
            self.width = max(1, round(self.width * pixel_aspect))
        # maps (x, y) to (ax + cy, bx + dy), with rows (a, b, _), (c, d, _), (_, _, _)
        side_data: Any = first.side_data  # PyAV's types allow only keys that it does not accept
        found = side_data.get(SideData.DISPLAYMATRIX)
        matrix = [1, 0, 0, 0, 1] if found is None else np.frombuffer(bytes(found), np.int32)
        a, b, _, c, d = matrix[:5]
        self.is_transposed = abs(b) > abs(a)
        self.is_mirrored, self.is_flipped = (c < 0, b < 0) if self.is_transposed else (a < 0, d < 0)

    def to_array(self, frame: av.VideoFrame) -> np.ndarray:
        """Convert one frame: (H, W, 3) uint8, RGB."""
        picture = self._reformatter.reformat(
            frame,
            format='rgb24',
            width=self.width,
            height=self.height,
            interpolation='BICUBIC',
            threads=1,
        )
        array = picture.to_ndarray()
        if self.is_transposed:
            array = array.swapaxes(0, 1)
        if self.is_mirrored:
            array = array[:, ::-1]
        if self.is_flipped:
            array = array[::-1]
        return array
