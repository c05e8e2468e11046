"""Training and testing from a frame store give the same items as decoding."""

import json
import os
import random
import shutil
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
import torch
from mmaction.datasets.transforms import RawFrameDecode
from mmaction.registry import DATASETS
from mmengine.dataset import pseudo_collate
from tiny import write_noise
from torch.utils.data import DataLoader

from ts2net_mm.datasets import FrameStoreError, TextVideoDataset, UnreadableVideoError
from ts2net_mm.datasets.frame_store import FrameStore

DECODING = [dict(type='DecordInit'), dict(type='DecordDecode')]
RATE = dict(type='SampleFramesByRate', num_frames=4)
ANY = dict(type='UniformSample', clip_len=4)
FIXED = dict(type='UniformSample', clip_len=4, test_mode=True)
RAW = dict(type='RawFrameDecode')
RESIZE = dict(type='Resize', scale=(-1, 32), interpolation='area')
CROP = dict(type='CenterCrop', crop_size=32)
CLIP_RESIZE = dict(type='CLIPResize', size=32)
ANNOTATION = {
    'a.mp4': ['one', 'another'],
    'sub/b.mp4': ['two'],
    'ünï.mp4': dict(captions=['three'], start=1, end=2),
}


@pytest.fixture
def moving_video(videos):
    """Function that writes a video of noise, so that no frame is like another."""

    def write(name: str, num_frames: int = 40, seed: int = 0) -> Path:
        path = videos / name
        path.parent.mkdir(exist_ok=True)
        write_noise(path, num_frames=num_frames, seed=seed)
        return path

    return write


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / 'store'


@pytest.fixture
def pipelines(store):
    """Function that makes the pipeline that decodes and the one that reads the store."""

    def make(sampling: dict, *rest: dict) -> tuple[list[dict], list[dict]]:
        reading = dict(type='FrameStoreInit', db_path=str(store), decoding=DECODING)
        return (
            [DECODING[0], sampling, DECODING[1], *rest],
            [reading, sampling, dict(type='FrameStoreDecode'), *rest],
        )

    return make


@pytest.fixture
def store_frames(tmp_path, videos, store, load_tool):
    """Function that runs the tool for data sets of pipelines: {split: (pipeline, annotation)}."""
    main = load_tool('data/store_frames.py').main

    def run(*arguments: str, **splits: tuple[list[dict], dict]) -> int:
        lines = []
        for split, (pipeline, annotation) in splits.items():
            path = tmp_path / f'{split}.json'
            path.write_text(json.dumps(annotation))
            dataset = dict(
                type='TextVideoDataset',
                ann_file=str(path),
                data_prefix=dict(video=str(videos)),
                pipeline=pipeline,
                test_mode=split != 'train',
            )
            lines.append(f'{split}_dataloader = dict(dataset={dataset!r})')
        config = tmp_path / 'config.py'
        config.write_text('\n'.join(lines))
        return main([str(config), '--out', str(store), '--workers', '2', *arguments])

    return run


@pytest.fixture
def written(moving_video):
    """The videos of `ANNOTATION`."""
    return [moving_video(name, seed=seed) for seed, name in enumerate(ANNOTATION)]


@pytest.fixture
def compare(make_dataset):
    """Function that asserts that two pipelines give the same items, and returns those."""

    def compare(annotation: dict, first: list[dict], second: list[dict], seed=0, **settings):
        found, expected = (
            read_all(make_dataset(annotation, steps, **settings), seed) for steps in (first, second)
        )
        assert_same(found, expected)
        return found

    return compare


def read_all(dataset: TextVideoDataset, seed: int = 0) -> list[dict]:
    np.random.seed(seed)
    random.seed(seed)
    return [dataset[index] for index in range(len(dataset))]


def assert_same(found: list[dict], expected: list[dict]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one['video_id'] == other['video_id']
        assert one['total_frames'] == other['total_frames']
        assert one['avg_fps'] == other['avg_fps']
        np.testing.assert_array_equal(one['frame_inds'], other['frame_inds'])
        if 'frame_mask' in other:
            np.testing.assert_array_equal(one['frame_mask'], other['frame_mask'])
        np.testing.assert_array_equal(one['imgs'], other['imgs'])
        assert one['img_shape'] == other['img_shape']


@pytest.mark.parametrize(
    ('picture', 'steps'),
    [
        ('png', (RATE, RESIZE, CROP)),
        ('bmp', (RATE, CLIP_RESIZE)),
        ('png', (RATE, dict(RESIZE, scale=(-1, 40)), RESIZE, CLIP_RESIZE)),
        ('bmp', (RATE, dict(RESIZE, scale=(50, 33)))),
        ('bmp', (RATE, dict(RESIZE, scale=(20, 30), keep_ratio=False))),
        ('bmp', (RATE, dict(RESIZE, scale=0.5))),
        ('bmp', (RATE,)),
    ],
    ids=['resize', 'clip resize', 'several', 'bounds', 'distorted', 'factor', 'as it is'],
)
def test_lossless_frames_equal_decoded_ones(
    written, compare, pipelines, store_frames, steps, picture
):
    decode, read = pipelines(*steps)
    assert store_frames('--format', picture, train=(decode, ANNOTATION)) == 0
    compare(ANNOTATION, read, decode)


def test_any_frame_can_be_drawn_in_training(moving_video, compare, pipelines, store_frames):
    moving_video('a.mp4', num_frames=70)  # more than are decoded at a time
    annotation = {'a.mp4': ['one']}
    decode, read = pipelines(ANY, RESIZE, CROP)
    assert store_frames('--format', 'png', train=(decode, annotation)) == 0
    drawn = set()
    for seed in range(12):
        (item,) = compare(annotation, read, decode, seed)
        drawn |= set(item['frame_inds'].tolist())
    assert len(drawn) > 30


def test_parts_of_videos_and_other_numbers_of_frames(written, compare, pipelines, store_frames):
    decode, _ = pipelines(RATE, CLIP_RESIZE)
    assert store_frames('--format', 'png', test=(decode, {'a.mp4': ['whole']})) == 0
    for start, end, num_frames in ((0, 1, 4), (1.5, 2.5, 1), (2, None, 8)):
        annotation = {'a.mp4': dict(captions=['part'], start=start, end=end)}
        decode, read = pipelines(dict(RATE, num_frames=num_frames), CLIP_RESIZE)
        compare(annotation, read, decode, test_mode=True)


def test_only_the_frames_of_the_samplings_are_kept(written, pipelines, store_frames, store):
    decode_any, _ = pipelines(ANY, RESIZE)
    decode_fixed, _ = pipelines(FIXED, RESIZE)
    decode_rate, _ = pipelines(RATE, RESIZE)
    train, test, val = ({name: ANNOTATION[name]} for name in ANNOTATION)
    val['sub/b.mp4'] = ['also in testing']
    assert (
        store_frames(train=(decode_any, train), test=(decode_fixed, test), val=(decode_rate, val))
        == 0
    )
    reading = FrameStore(store)
    assert reading.video('a.mp4').frames is None
    assert reading.video('ünï.mp4').frames == [0, 10, 20, 30]
    assert reading.video('sub/b.mp4').frames == sorted({0, 10, 20, 30} | {4, 14, 24, 33})


def test_two_configs_share_a_store(written, compare, pipelines, store_frames):
    samplings = (RATE, FIXED, RATE)
    for sampling in samplings:
        decode, _ = pipelines(sampling, RESIZE)
        assert store_frames('--format', 'png', val=(decode, {'a.mp4': ['x']})) == 0
    for sampling in samplings:
        decode, read = pipelines(sampling, RESIZE)
        compare({'a.mp4': ['x']}, read, decode, test_mode=True)


def test_jpeg_is_closer_at_higher_quality(
    moving_video, make_dataset, pipelines, store_frames, store
):
    moving_video('a.mp4')
    annotation = {'a.mp4': ['one']}
    decode, read = pipelines(RATE, RESIZE, CROP)
    expected = np.array(read_all(make_dataset(annotation, decode))[0]['imgs'], dtype=float)
    distances = []
    for quality in (50, 100):
        shutil.rmtree(store, ignore_errors=True)
        assert store_frames('--quality', str(quality), train=(decode, annotation)) == 0
        found = read_all(make_dataset(annotation, read))[0]['imgs']
        distances.append(np.abs(np.array(found) - expected).mean())
    assert distances[0] > distances[1] > 0


def test_mmactions_own_transform_reads_the_store(written, pipelines, store_frames, store):
    decode, _ = pipelines(RATE, RESIZE)
    assert store_frames('--format', 'png', train=(decode, ANNOTATION)) == 0
    video = FrameStore(store).video('ünï.mp4')
    item = dict(
        frame_dir=video.frame_dir,
        filename_tmpl='{:06}',
        modality='RGB',
        frame_inds=np.array([0, 10, 10]),
    )
    images = RawFrameDecode(io_backend='lmdb', db_path=str(store))(item)['imgs']
    assert [image.shape for image in images] == [(32, 43, 3)] * 3
    np.testing.assert_array_equal(images[1], images[2])


@pytest.mark.parametrize('context', ['fork', 'spawn'])
@pytest.mark.slow
def test_workers_read_it(written, make_dataset, pipelines, store_frames, context):
    pack = dict(type='PackActionInputs', collect_keys=('imgs',), meta_keys=('video_id',))
    shape = dict(type='FormatShape', input_format='NCHW')
    decode, read = pipelines(RATE, RESIZE, CROP, shape, pack)
    assert store_frames('--format', 'png', test=(decode, ANNOTATION)) == 0
    dataset = make_dataset(ANNOTATION, read, test_mode=True)
    expected = [
        dataset[index]['inputs']['imgs'] for index in range(3)
    ]  # opened in this process, too
    loader = DataLoader(
        dataset, num_workers=2, multiprocessing_context=context, collate_fn=pseudo_collate
    )
    for batch, imgs in zip(loader, expected, strict=True):
        assert torch.equal(batch['inputs']['imgs'][0], imgs)


def test_a_read_only_folder(written, make_dataset, pipelines, store_frames, store):
    decode, read = pipelines(RATE, RESIZE, CROP)
    assert store_frames(test=(decode, ANNOTATION)) == 0
    (store / 'lock.mdb').unlink()
    (store / 'writer.lock').unlink()
    for path in store.iterdir():
        path.chmod(0o444)
    store.chmod(0o555)
    try:
        before = sorted(os.listdir(store))
        assert len(read_all(make_dataset(ANNOTATION, read, test_mode=True))) == 3
        assert sorted(os.listdir(store)) == before
    finally:
        store.chmod(0o755)


def test_the_videos_may_be_missing(written, make_dataset, pipelines, store_frames):
    decode, read = pipelines(RATE, RESIZE, CROP)
    assert store_frames('--format', 'png', test=(decode, ANNOTATION)) == 0
    expected = read_all(make_dataset(ANNOTATION, decode, test_mode=True))
    for path in written:
        path.unlink()
    assert_same(read_all(make_dataset(ANNOTATION, read, test_mode=True)), expected)
    with pytest.raises(FileNotFoundError, match='1 of 4 video files are missing'):
        make_dataset(ANNOTATION | {'new.mp4': ['x']}, read, test_mode=True)


class TestStale:
    @pytest.fixture(autouse=True)
    def _stored(self, written, pipelines, store_frames):
        self.decode, self.read = pipelines(RATE, RESIZE, CROP)
        self.store = lambda *arguments: store_frames(
            '--format', 'png', *arguments, test=(self.decode, ANNOTATION)
        )
        assert self.store() == 0

    @pytest.mark.parametrize('how', ['content', 'time'])
    def test_a_changed_file_is_an_error_until_it_is_stored_again(
        self, moving_video, make_dataset, compare, videos, how
    ):
        path = videos / 'a.mp4'
        if how == 'content':
            moving_video('a.mp4', num_frames=35, seed=9)
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
        with pytest.raises(FrameStoreError, match=r'1 of 3 videos have changed .*/a\.mp4'):
            make_dataset(ANNOTATION, self.read, test_mode=True)
        assert self.store() == 0
        compare(ANNOTATION, self.read, self.decode, test_mode=True)

    def test_a_file_that_changes_after_the_start_is_an_error(self, make_dataset, videos):
        dataset = make_dataset(ANNOTATION, self.read, test_mode=True)
        dataset.pipeline.transforms[0]._videos.clear()  # as in data sets that do not check before
        os.utime(videos / 'a.mp4', ns=(0, 0))
        with pytest.raises(FrameStoreError, match='have changed'):
            dataset[0]

    def test_settings_videos_and_frames_that_are_not_stored(self, moving_video, make_dataset):
        unknown = [dict(type='PyAVInit'), dict(type='PyAVDecode')]
        for step, change, message in (
            (3, dict(scale=(-1, 40)), 'made with .* where .*scale=.inf, 40.'),
            (3, dict(scale=0.5), 'made with .* where .*resizing=.None'),
            (3, dict(interpolation='bicubic'), 'made with .* where .*interpolation=bicubic'),
            (0, dict(decoding=unknown), 'made with .* where .*PyAVInit'),
            (1, ANY, '3 of 3 videos lack frames of this sampling'),
            (1, FIXED, 'videos lack frames of this sampling'),
            (1, dict(RATE, frame_rate=2), '3 of 3 videos lack frames of this sampling'),
        ):
            pipeline = [dict(one) for one in self.read]
            pipeline[step] = change if 'type' in change else pipeline[step] | change
            with pytest.raises(FrameStoreError, match=message):
                make_dataset({name: ['x'] for name in ANNOTATION}, pipeline, test_mode=True)
        moving_video('new.mp4')
        with pytest.raises(FrameStoreError, match=r'1 of 4 videos are not in .*new\.mp4'):
            make_dataset(ANNOTATION | {'new.mp4': ['x']}, self.read, test_mode=True)

    def test_the_guard_of_the_decoder_changes_nothing(self, make_dataset):
        decoding = [dict(type='GuardedDecordInit', timeout=5), dict(type='DecordDecode')]
        pipeline = [dict(self.read[0], decoding=decoding), *self.read[1:]]
        assert len(make_dataset(ANNOTATION, pipeline, test_mode=True)) == 3

    def test_an_incomplete_or_missing_store(self, make_dataset, store):
        data = store / 'data.mdb'
        data.write_bytes(data.read_bytes()[:-4096])
        with pytest.raises(FrameStoreError, match=r'data\.mdb has .* bytes, expected .*incomplete'):
            make_dataset(ANNOTATION, self.read, test_mode=True)
        assert self.store() == 1  # writing to it would hide that
        shutil.rmtree(store)
        with pytest.raises(FrameStoreError, match='there is no frame store in .*store_frames.py'):
            make_dataset(ANNOTATION, self.read, test_mode=True)


class TestBadVideos:
    @pytest.fixture(autouse=True)
    def _bad(self, written, pipelines, store_frames, capsys):
        self.bad = written[1]
        self.bad.write_bytes(b'no video at all' * 100)
        self.decode, self.read = pipelines(ANY, RESIZE, CROP)
        annotation = dict(ANNOTATION, **{'ünï.mp4': ['three']})
        self.annotation = annotation
        self.store = lambda: store_frames('--format', 'png', train=(self.decode, annotation))
        assert self.store() == 1
        assert f'{self.bad}: it is damaged or no video' in capsys.readouterr().err

    def test_they_are_replaced_as_with_decoding(self, make_dataset):
        sets = [make_dataset(self.annotation, steps) for steps in (self.read, self.decode)]
        found, expected = map(read_all, sets)
        assert_same(found, expected)
        bad = [item.get('bad_videos') for item in found]
        assert bad == [item.get('bad_videos') for item in expected]
        assert sum(map(bool, bad)) == 1
        dataset = make_dataset(self.annotation, self.read, on_bad_video='error')
        with pytest.raises(UnreadableVideoError, match='it is damaged or no video'):
            read_all(dataset)

    def test_a_repaired_video_is_stored(self, moving_video, make_dataset, compare):
        moving_video('sub/b.mp4')
        with pytest.raises(FrameStoreError, match='1 of 3 videos have changed'):
            make_dataset(self.annotation, self.read)
        assert self.store() == 0
        compare(self.annotation, self.read, self.decode)


def test_damaged_and_missing_frames_are_named(
    written, make_dataset, pipelines, store_frames, store
):
    decode, read = pipelines(RATE, RESIZE, CROP)
    assert store_frames(test=(decode, ANNOTATION)) == 0
    frame_dir = FrameStore(store).video('a.mp4').frame_dir
    with lmdb.open(str(store)) as env, env.begin(write=True) as transaction:
        transaction.put(f'{frame_dir}/000010'.encode(), b'no picture')
        transaction.delete(f'{frame_dir}/000020'.encode())
    for start, problem in ((1, 'frame 10 of .*a.mp4 is damaged'), (2, 'frame 20 of .* is missing')):
        video = dict(captions=['x'], start=start, end=start + 0.5)
        dataset = make_dataset({'a.mp4': video}, read, test_mode=True)
        with pytest.raises(FrameStoreError, match=f'{problem} in the frame store'):
            dataset[0]


def test_mmactions_own_data_set(written, pipelines, store, tmp_path, videos, load_tool):
    decode, read = pipelines(RATE, RESIZE, CROP)
    (tmp_path / 'pairs.json').write_text(json.dumps({'a.mp4': ['one', 'two'], 'sub/b.mp4': ['x']}))
    settings = dict(
        type='VideoTextDataset',
        ann_file=str(tmp_path / 'pairs.json'),
        data_prefix=dict(video=str(videos)),
    )
    config = tmp_path / 'mmaction.py'
    config.write_text(f'train_dataloader = dict(dataset={dict(settings, pipeline=read)!r})')
    main = load_tool('data/store_frames.py').main
    assert main([str(config), '--out', str(store), '--format', 'png', '--workers', '1']) == 0
    found, expected = (
        list(DATASETS.build(dict(settings, pipeline=steps))) for steps in (read, decode)
    )
    assert len(found) == 3
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one['imgs'], other['imgs'])
    os.utime(written[0], ns=(0, 0))
    dataset = DATASETS.build(dict(settings, pipeline=read))
    with pytest.raises(FrameStoreError, match='have changed'):
        dataset[0]


def test_folders_of_pictures_fill_a_store(videos, make_dataset, compare, store_frames, store):
    for name, first in (('a', 1), ('b', 0)):
        (videos / name).mkdir()
        for number in range(first, first + 9):
            image = np.full((40, 50, 3), 20 * number, dtype=np.uint8)
            cv2.imwrite(str(videos / name / f'{number}.png'), image)
    decoding = [dict(type='FrameFolderInit', fps=2, filename_tmpl='{}.png'), RAW]
    init = dict(type='FrameStoreInit', db_path=str(store), decoding=decoding)
    decode = [decoding[0], RATE, decoding[1], RESIZE]
    read = [init, RATE, dict(type='FrameStoreDecode'), RESIZE]
    annotation = {'a': ['one'], 'b': dict(captions=['two'], fps=4)}
    assert store_frames('--format', 'png', test=(read, annotation)) == 0
    found = compare(annotation, read, decode, test_mode=True)
    assert [item['avg_fps'] for item in found] == [2, 4]
    (videos / 'a' / '10.png').write_bytes(b'another picture')
    with pytest.raises(FrameStoreError, match='1 of 2 videos have changed'):
        make_dataset(annotation, read, test_mode=True)
