import pytest

from ts2net_mm.preparation import prepare, read_vatex

IDS = [f'Ptf_2VRj-V{n}_00012{n}_00013{n}' for n in range(10)]


def test_retrieval_split(prepared, miniatures):
    vatex = prepared('vatex', read_vatex)
    assert list(vatex.train) == [f'{one}.mp4' for one in IDS[:5]]
    assert list(vatex.val) == [f'{IDS[5]}.mp4', f'{IDS[9]}.mp4']
    assert list(vatex.test) == [f'{IDS[6]}.mp4', f'{IDS[7]}.mp4', f'{IDS[8]}.webm']
    assert vatex.test[f'{IDS[7]}.mp4'] == [miniatures.sentence(IDS[7], n) for n in range(4)]
    # its file is empty
    assert vatex.lists == {'missing_videos': [IDS[0]]}
    assert vatex.summary['splits']['test']['published']['videos'] == 1500


def test_own_split(prepared):
    vatex = prepared('vatex-own', read_vatex)
    assert [list(split) for split in (vatex.train, vatex.val, vatex.test)] == [
        [f'{one}.mp4' for one in ids] for ids in (IDS[:4], IDS[4:6], IDS[6:8])
    ]
    assert [len(captions) for captions in vatex.train.values()] == [3] * 4
    assert vatex.summary['notes'][0].startswith("VATEX's own split")
    assert vatex.summary['splits']['val']['published']['videos'] == 3000


def test_chinese(miniatures, tmp_path):
    mini = miniatures.make_vatex_own(tmp_path)
    annotations = read_vatex(mini.annotations, language='zh')
    assert [split.name for split in annotations.splits] == ['train', 'val']
    assert annotations.splits[0].clips[0].captions == ['一个方块移动0', '一个方块移动1']
    assert annotations.notes[1].startswith('test.json is not written')
    prepare(annotations, videos=mini.videos, out=tmp_path / 'out')
    assert '一个方块移动0' in (tmp_path / 'out/train.json').read_text('utf-8')


def test_lists_with_own_captions(miniatures, tmp_path):
    folder = miniatures.make_vatex_own(tmp_path).annotations
    (folder / 'train_list.txt').write_text(f'{IDS[1]}\r\n{IDS[0]}\r\n')
    (folder / 'test_list.txt').write_text(IDS[4])
    annotations = read_vatex(folder)
    assert [[clip.video_id for clip in split.clips] for split in annotations.splits] == [
        [IDS[1], IDS[0]],
        [IDS[4]],
    ]
    assert annotations.notes == ['val.json is not written: it has no list']


def test_captions_under_the_keys_of_vatex(edit, prepared):
    expected = read_vatex(prepared('vatex', read_vatex).mini.annotations)
    content = {
        clip.video_id: dict(enCap=clip.captions, chCap=['一'])
        for split in expected.splits
        for clip in split.clips
    }
    read = read_vatex(edit('vatex', 'ref_captions.json', content))
    assert [split.clips for split in read.splits] == [split.clips for split in expected.splits]


def test_own_files_by_id(edit):
    content = {IDS[0]: dict(enCap=['x'], chCap=['一'])}
    folder = edit('vatex-own', 'vatex_training_v1.0.json', content)
    assert read_vatex(folder).splits[0].clips[0].captions == ['x']
    assert read_vatex(folder, language='zh').splits[0].clips[0].captions == ['一']


def test_second_test_list(edit):
    folder = edit('vatex', 'test1k5_sec_list.txt', f'{IDS[6]}\n{IDS[9]}\n')
    assert [clip.video_id for clip in read_vatex(folder).splits[2].clips] == IDS[6:9]
    annotations = read_vatex(folder, second_test_list=True)
    annotations.check()
    assert [clip.video_id for clip in annotations.splits[2].clips] == [IDS[6], IDS[9]]
    assert annotations.splits[2].published is None
    assert annotations.notes == [
        '1 videos of test1k5_sec_list.txt are in val.json too: do not select models on val'
    ]
    (folder / 'test1k5_sec_list.txt').unlink()
    with pytest.raises(FileNotFoundError, match=r'lacks test1k5_sec_list\.txt; expected: train_l'):
        read_vatex(folder, second_test_list=True)


def test_the_usual_name_of_the_validation_list_comes_first(edit):
    annotations = read_vatex(edit('vatex', 'val_list.txt', f'{IDS[8]}\n'))
    assert [clip.video_id for clip in annotations.splits[1].clips] == [IDS[8]]
    with pytest.raises(ValueError, match=r'1 videos are in both val_list\.txt and test_list\.txt'):
        annotations.check()


@pytest.mark.parametrize(
    ('file', 'content', 'message'),
    [
        ('ref_captions.json', None, r"holds no captions in 'en': .*; found: test_list\.txt, train"),
        ('test_list.txt', None, r'lacks test_list\.txt; expected: train_list\.txt, test_list\.txt'),
        ('ref_captions.json', {'a': 'x'}, r"'a': expected a list of captions, found 'x'"),
        ('ref_captions.json', {'a': ['x', '']}, r"empty, the first: .*'a', caption 1 \(a\)"),
    ],
)
def test_bad_files(edit, file, content, message):
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        read_vatex(edit('vatex', file, content))


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        ([{'enCap': ['x']}], r'entry 0: expected an object with videoID, found'),
        ([{'videoID': 'a', 'x': 1}], r"entry 0 \(a\) has no 'enCap', found videoID, x"),
        ([{'videoID': 'a', 'enCap': ['x']}] * 2, r'entry 1: a is annotated a second time'),
    ],
)
def test_bad_own_files(edit, entries, message):
    with pytest.raises(ValueError, match=message):
        read_vatex(edit('vatex-own', 'vatex_training_v1.0.json', entries))
