"""What validation sentences say of a calibration, against counts in loops."""

import json
from dataclasses import replace

import numpy as np
import pytest
from index_data import DIMS, describe, make_entry, score_of, unit

from ts2net_mm.search import Calibration, VideoIndex, VideoStore, bank_scores, calibrate
from ts2net_mm.search.sentence_files import find_right_videos, read_bank
from ts2net_mm.search.validation import ValidationSet, validate

KEEP = 0.8


@pytest.fixture(scope='module')
def entries():
    return [
        make_entry(f'/videos/{number % 3}/{number}.mp4', seed=number, num_windows=1 + number % 3)
        for number in range(30)
    ]


@pytest.fixture(scope='module')
def index(entries, tmp_path_factory):
    store = VideoStore.create(tmp_path_factory.mktemp('index') / 'index', describe())
    with store.writer() as writer:
        writer.add([make_entry('/videos/gone.mp4', seed=99), *entries])
        writer.remove(['/videos/gone.mp4'])
    return VideoIndex(store.folder)


@pytest.fixture(scope='module')
def queries(entries):
    """Sentences about the first frame of a video, more or less."""
    rng = np.random.default_rng(1)
    firsts = [unit(entry.windows.features[0, 0]) for entry in entries[:25]]
    return np.stack([x + rng.uniform(0.2, 0.6) * rng.standard_normal(DIMS) for x in firsts])


@pytest.fixture(scope='module')
def right():
    """Each sentence describes a video, the third and fourth two."""
    return {f'sentence {number}': [number + 1] for number in range(25)} | {
        f'sentence {number}': [number + 1, number + 11] for number in (3, 4)
    }


@pytest.fixture(scope='module')
def calibration(index):
    return calibrate(index, np.random.default_rng(1).standard_normal((4, DIMS)))


def test_rates_are_those_of_all_scores(index, entries, queries, right, calibration, monkeypatch):
    monkeypatch.setattr(bank_scores, 'WINDOWS_AT_A_TIME', 7)
    found = validate(index, calibration, queries, ValidationSet('val', right, []), keep=KEEP)
    assert found == validate(
        index,
        replace(calibration, dynamic=False),
        queries,
        ValidationSet('val', right, []),
        keep=KEEP,
    )
    corrections = calibration.corrections(index.store.view())
    scores = np.array([[score_of(entry, query) for entry in entries] for query in queries])
    calibrated = scores - corrections.attractions[1:31]
    wins, kept, others = dict(plain=0, dynamic=0, always=0), ([], []), ([], [])
    for row, changed, videos in zip(scores, calibrated, right.values(), strict=True):
        mine = [video - 1 for video in videos]  # the first number belongs to a removed video
        is_hub = corrections.changes[1:31][row.argmax()]
        wins['plain'] += row.argmax() in mine
        wins['always'] += changed.argmax() in mine
        wins['dynamic'] += (changed if is_hub else row).argmax() in mine
        for values, mine_of, rest_of in zip((row, changed), kept, others, strict=True):
            mine_of.append(max(values[mine]))
            rest_of.append(max(np.delete(values, mine)))
    assert found.recall == pytest.approx({name: 4 * number for name, number in wins.items()})
    assert len({*wins.values()}) == 3  # the rules differ here
    assert (found.num_queries, found.num_videos, found.source) == (25, 25, 'val')
    for threshold, mine, rest in zip((found.plain, found.calibrated), kept, others, strict=True):
        assert threshold.value == pytest.approx(sorted(mine)[5])  # 20 of 25 reach it
        assert threshold.kept == 0.8
        assert threshold.rejected == sum(value < threshold.value for value in rest) / 25
    assert 0 < found.plain.rejected < 1


@pytest.mark.parametrize(('keep', 'number'), [(1, 25), (0.95, 24), (0.2, 5), (0.01, 1)])
def test_the_share_that_is_kept(index, queries, right, calibration, keep, number):
    found = validate(index, calibration, queries, ValidationSet('val', right, []), keep=keep)
    assert (found.plain.kept, found.calibrated.kept) == (number / 25, number / 25)


def test_the_threshold_is_part_of_the_file(index, queries, right, calibration):
    with pytest.raises(ValueError, match='has no threshold: calibrate with --validation'):
        calibration.threshold(calibrated=True)
    found = validate(index, calibration, queries, ValidationSet('val', right, []))
    whole = Calibration.from_bytes(replace(calibration, validation=found).to_bytes())
    assert whole.validation == found
    assert whole.threshold(calibrated=True) == found.calibrated.value
    assert whole.threshold(calibrated=False) == found.plain.value


def test_a_sentence_of_all_videos(index, queries, calibration):
    everything = ValidationSet('val', {'sentence': list(range(1, 31))}, [])
    with pytest.raises(ValueError, match='describes all videos of the index'):
        validate(index, calibration, queries[:1], everything)


@pytest.mark.parametrize('keep', [0, -1, 1.5, float('nan')])
def test_no_share(index, queries, right, calibration, keep):
    with pytest.raises(ValueError, match=f'keep={keep} is not a share'):
        validate(index, calibration, queries, ValidationSet('val', right, []), keep=keep)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
    return path


def test_right_videos_are_found_by_name(index, tmp_path):
    captions = {
        '3.mp4': ['a', 'b'],
        '1/4': ['a', 'c', 'a'],  # read as 1/4.mp4
        '/videos/2/5.mp4': ['d'],
        '1/5.mp4': ['in another folder'],
        '33.mp4': ['no video ends so'],
        'gone.mp4': ['was removed'],
    }
    found = find_right_videos(index.store.view(), write(tmp_path / 'val.json', captions), 9)
    assert found.right == dict(a=[4, 5], b=[4], c=[5], d=[6])
    assert found.missing == ['1/5.mp4', '33.mp4', 'gone.mp4']
    assert (found.source, found.num_videos) == ('val.json', 3)
    some = find_right_videos(index.store.view(), tmp_path / 'val.json', 2)
    assert len(some.right) == 2
    assert some.right.items() <= found.right.items()


def test_a_name_of_several_videos(tmp_path):
    store = VideoStore.create(tmp_path / 'index', describe())
    with store.writer() as writer:
        writer.add([make_entry(f'/{name}/1.mp4', seed=1) for name in 'ab'])
    with pytest.raises(ValueError, match=r"'1.mp4' may be /a/1.mp4 and /b/1.mp4"):
        find_right_videos(store.view(), write(tmp_path / 'val.json', {'1.mp4': ['a']}), 9)


def test_an_annotation_of_other_videos(index, tmp_path):
    path = write(tmp_path / 'val.json', {'no.mp4': ['a'], 'nor.mp4': ['b']})
    with pytest.raises(ValueError, match="none of the 2 videos .* is in the index.* 'no.mp4'"):
        find_right_videos(index.store.view(), path, 9)


def test_a_bank_is_a_text_or_an_annotation(tmp_path):
    text = write(tmp_path / 'bank.txt', '\ufeffa dog\n\n  a cat \r\na dog\n')
    assert read_bank(text, 9) == ['a dog', 'a cat', 'a dog']
    annotation = write(tmp_path / 'bank.json', {'1.mp4': ['a', 'b'], '2.mp4': ['a']})
    assert read_bank(annotation, 9) == ['a', 'b', 'a']
    for path in (text, annotation):
        some = read_bank(path, 2)
        assert (len(some), read_bank(path, 2)) == (2, some)


def test_no_bank(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.txt'):
        read_bank(tmp_path / 'nothing.txt', 9)
    with pytest.raises(ValueError, match='bank.txt holds no sentence'):
        read_bank(write(tmp_path / 'bank.txt', '\n \n'), 9)
    with pytest.raises(ValueError, match=r"bank.txt: the sentence '\?!' has no word"):
        read_bank(write(tmp_path / 'bank.txt', 'a dog\n?!\n'), 9)
    (tmp_path / 'bank.txt').write_bytes(b'\xff\xfe')
    with pytest.raises(ValueError, match='bank.txt is not a text in UTF-8'):
        read_bank(tmp_path / 'bank.txt', 9)
