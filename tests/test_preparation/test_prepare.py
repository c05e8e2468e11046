import json

import pytest

from ts2net_mm.datasets import TextVideoDataset
from ts2net_mm.preparation import Annotations, Clip, Split, prepare


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / 'videos'
    for name in ('a.mp4', 'sub/b.avi'):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b'x')
    return folder


def annotations(**splits):
    """Splits of clips whose ids are single letters."""
    return Annotations(
        'X',
        [
            Split(name, [Clip(one, ['x']) for one in ids], f'{name}.txt')
            for name, ids in splits.items()
        ],
        [('train', 'test')],
        [],
    )


def run(tmp_path, videos, on_missing='keep', **splits):
    out = tmp_path / 'out'
    prepare(annotations(**splits), videos=videos, out=out, on_missing=on_missing)
    return out


def read(path):
    return json.loads(path.read_text('utf-8'))


def test_missing_videos_are_kept_or_dropped(tmp_path, videos):
    out = run(tmp_path, videos, train='abc')
    assert list(read(out / 'train.json')) == ['a.mp4', 'sub/b.avi', 'c.mp4']
    assert (out / 'missing_videos.txt').read_text() == 'c\n'
    out = run(tmp_path, videos, 'drop', train='abc')
    assert list(read(out / 'train.json')) == ['a.mp4', 'sub/b.avi']
    assert (out / 'missing_videos.txt').read_text() == 'c\n'
    summary = read(out / 'summary.json')
    assert summary['on_missing'] == 'drop'
    assert summary['splits']['train']['written_videos'] == 2
    assert summary['splits']['train']['videos'] == 3


def test_a_list_of_the_last_time_is_removed(tmp_path, videos):
    out = run(tmp_path, videos, train='abc')
    (videos / 'c.mp4').write_bytes(b'x')
    run(tmp_path, videos, train='abc')
    assert not (out / 'missing_videos.txt').exists()


def test_the_data_set_reads_what_is_written(tmp_path, videos):
    out = run(tmp_path, videos, train='ab')
    dataset = TextVideoDataset(
        data_root=str(out), ann_file='train.json', data_prefix=dict(video='videos'), pipeline=()
    )
    assert [dataset[n]['filename'] for n in range(2)] == [
        f'{out}/videos/a.mp4',
        f'{out}/videos/sub/b.avi',
    ]


@pytest.mark.parametrize(
    ('splits', 'error', 'message'),
    [
        (dict(train='ab', test='b'), ValueError, r'1 videos are in both train\.txt and test\.txt'),
        (
            dict(train='xy'),
            FileNotFoundError,
            r'none of the 2 videos is in .*videos, such as x; it',
        ),
        (
            dict(train='a', test='x'),
            FileNotFoundError,
            r'none of the 1 videos of test has a file, so test\.json would be empty',
        ),
    ],
)
def test_nothing_is_written_on_an_error(tmp_path, videos, splits, error, message):
    with pytest.raises(error, match=message):
        run(tmp_path, videos, 'drop', **splits)
    assert not (tmp_path / 'out').exists()


def test_nothing_is_written_beside_another_link(tmp_path, videos):
    out = tmp_path / 'out'
    (out / 'videos').mkdir(parents=True)
    with pytest.raises(FileExistsError, match='out/videos exists and is not'):
        run(tmp_path, videos, train='a')
    assert [path.name for path in out.iterdir()] == ['videos']


def test_two_ids_of_one_file(tmp_path, videos):
    clips = [Clip('a.mov', ['x']), Clip('a.avi', ['x'])]
    both = Annotations('X', [Split('train', clips, 'train.txt')], [], [])
    with pytest.raises(ValueError, match=r'a\.mp4 belongs to two ids, a\.mov and a\.avi'):
        prepare(both, videos=videos, out=tmp_path / 'out')


def test_a_missing_name_with_extension_keeps_it(tmp_path, videos):
    clips = [Clip('a.avi', ['x']), Clip('c.mov', ['x'])]
    one = Annotations('X', [Split('train', clips, 'train.txt')], [], [])
    prepare(one, videos=videos, out=tmp_path / 'out')
    assert list(read(tmp_path / 'out/train.json')) == ['a.mp4', 'c.mov']
