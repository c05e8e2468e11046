"""Videos and folders of frames, opened and decoded inside a data set."""

import cv2
import numpy as np
import pytest
from mmaction.registry import TRANSFORMS

from ts2net_mm.datasets import FrameFolderInit, UnreadableVideoError, VideoInit
from ts2net_mm.video.video_files import frame_numbers

SAMPLE = dict(type='SampleFramesByRate', num_frames=3)
FOLDER = (
    dict(type='FrameFolderInit', fps=2),
    dict(type='SampleFramesByRate', num_frames=4),
    dict(type='RawFrameDecode'),
)


def test_frames_equal_those_of_decord_for_constant_rates(write_video, make_dataset):
    for number in range(3):
        write_video(f'{number}.mp4', num_frames=12 * (number + 1))
    annotation = {f'{number}.mp4': ['x'] for number in range(3)}
    ours = make_dataset(annotation, (dict(type='VideoInit'), SAMPLE, dict(type='VideoDecode')))
    also = (dict(type='VideoInit', decoder='decord'), SAMPLE, dict(type='VideoDecode'))
    theirs = (dict(type='DecordInit'), SAMPLE, dict(type='DecordDecode'))
    for pipeline in (also, theirs):
        expected = make_dataset(annotation, pipeline)
        for index in (0, 2, 1):
            for key in ('imgs', 'frame_inds', 'total_frames', 'avg_fps', 'img_shape'):
                np.testing.assert_array_equal(ours[index][key], expected[index][key])


def test_mmactions_decord_decode_reads_it_too(write_video, make_dataset):
    write_video('a.mp4')
    items = [
        make_dataset({'a.mp4': ['x']}, (dict(type='VideoInit'), SAMPLE, dict(type=decode)))[0]
        for decode in ('VideoDecode', 'DecordDecode')
    ]
    np.testing.assert_array_equal(items[0]['imgs'], items[1]['imgs'])


@pytest.fixture
def write_frames(videos):
    """Function that writes pictures of which number i is grey of level 10 i."""

    def write(name: str, numbers=range(1, 9), template: str = 'img_{:05}.jpg'):
        folder = videos / name
        folder.mkdir(parents=True)
        for number in numbers:
            image = np.full((48, 64, 3), 10 * number, dtype=np.uint8)
            assert cv2.imwrite(str(folder / template.format(number)), image)
        return folder

    return write


def levels(item: dict) -> list[int]:
    return [round(float(image.mean()) / 10) for image in item['imgs']]


@pytest.mark.parametrize('name', ['video0', 'video0.mp4', 'sub/video0.mp4'])
def test_a_folder_is_sampled_as_a_video(write_frames, make_dataset, name):
    write_frames(name.removesuffix('.mp4'))
    item = make_dataset({name: ['one']}, FOLDER, test_mode=True)[0]
    assert item['video_id'] == name
    assert (item['total_frames'], item['avg_fps']) == (8, 2)
    assert item['frame_inds'].tolist() == [0, 2, 4, 6]  # of every second
    assert levels(item) == [1, 3, 5, 7]
    assert item['frame_mask'].tolist() == [True] * 4


def test_folders_with_other_numbers_and_frame_rates(write_frames, make_dataset):
    template = 'frame{:d}.png'
    write_frames('a', range(12), template)
    write_frames('b.v2', range(7, 12), template)  # a folder whose name has a dot
    pipeline = (dict(FOLDER[0], filename_tmpl=template), *FOLDER[1:])
    annotation = {'a.mp4': dict(captions=['x'], fps=4, start=1, end=1.5), 'b.v2': ['y']}
    first, second = list(make_dataset(annotation, pipeline, test_mode=True))
    assert levels(first) == [4, 8, 8, 8]
    assert levels(second) == [7, 9, 11, 11]


def test_frame_numbers():
    names = ['img_00010.jpg', 'img_00002.jpg', 'img_2.jpg', 'img_00003.png', 'x_img_00004.jpg']
    assert frame_numbers([*names, 'img_.jpg', 'img_0000².jpg', 'img_100000.jpg']) == [2, 10, 100000]


def test_reasons_for_unreadable_folders(write_frames, videos):
    transform = FrameFolderInit(fps=1)
    write_frames('gap', [1, 2, 5, 6])
    write_frames('other', template='{:06}.jpg')
    write_frames('empty', [])
    (videos / 'file').write_text('x')
    for name, reason in {
        'gap': r'2 pictures are missing, the first is img_00003\.jpg',
        'other': r'no picture is named like img_00001\.jpg, it holds 000001\.jpg',
        'empty': 'it is empty',
    }.items():
        with pytest.raises(UnreadableVideoError, match=f'{name}: .*{reason}'):
            transform(dict(filename=str(videos / name)))


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (lambda path: path.write_bytes(b'no picture'), 'a picture in it is damaged'),
        (lambda path: path.unlink(), r'2 pictures are missing|1 pictures are missing'),
    ],
)
def test_damaged_folders_are_replaced(write_frames, make_dataset, damage, reason):
    folder = write_frames('a')
    write_frames('b')
    damage(folder / 'img_00003.jpg')
    item = make_dataset({'a': ['one'], 'b': ['two']}, FOLDER)[0]
    assert item['video_id'] == 'b'
    with pytest.raises(UnreadableVideoError, match=reason):
        make_dataset({'a': ['one']}, FOLDER, on_bad_video='error')[0]


def test_missing_folders(write_frames, make_dataset):
    write_frames('a')
    with pytest.raises(FileNotFoundError, match='1 of 2 video files are missing, .*videos/b'):
        make_dataset({'a': ['one'], 'b.mp4': ['two']}, FOLDER)


def test_a_frame_rate_is_needed(write_frames):
    folder = write_frames('a')
    for fps in (None, 'fast', -1, True):
        with pytest.raises(ValueError, match=f'the frame rate of {folder} is {fps!r}, expected'):
            FrameFolderInit()(dict(filename=str(folder), fps=fps))


def test_settings():
    init = TRANSFORMS.build(dict(type='VideoInit', timeout=7.5, num_threads=2))
    assert repr(init) == (
        "VideoInit(decoder='pyav', timeout=7.5, num_threads=2, square_pixels=False)"
    )
    for kind, settings, message in (
        (VideoInit, dict(decoder='opencv'), "decoder='opencv' is unknown"),
        (VideoInit, dict(timeout=0), 'timeout=0 must be positive'),
        (VideoInit, dict(decoder='decord', square_pixels=True), "needs decoder='pyav'"),
        (FrameFolderInit, dict(fps=0), 'fps=0 must be positive'),
        (FrameFolderInit, dict(filename_tmpl='frame.jpg'), "'frame.jpg', expected a file name"),
        (FrameFolderInit, dict(filename_tmpl='{}/{}.jpg'), 'expected a file name'),
    ):
        with pytest.raises(ValueError, match=message):
            kind(**settings)
