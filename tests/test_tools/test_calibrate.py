"""tools/index.py calibrate, and tools/search.py with the calibration."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from ts2net_mm.search import VideoIndex, VideoStore

SENTENCES = ['a red circle moves left', 'blue', 'clip number 3', 'the white square grows']
BANK = [f'a {colour} {shape}' for colour in ('red', 'blue') for shape in ('circle', 'square')]


@pytest.fixture
def place(index, tmp_path):
    """A copy of the index, which a test may change."""
    return shutil.copytree(index, tmp_path / 'index')


@pytest.fixture
def bank(tmp_path):
    path = tmp_path / 'bank.txt'
    path.write_text('\n'.join(BANK))
    return path


@pytest.fixture
def run(load_tool, place, capsys):
    """Run a command of tools/index.py; returns exit code, stdout and stderr."""
    tool = load_tool('index.py')

    def run(*args, place=place):
        code = tool.main([str(place), *map(str, args)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def search(load_tool, folder, place, capsys):
    tool = load_tool('search.py')

    def search(*args, place=place):
        files = [folder / 'config.py', folder / 'model.pth', place]
        code = tool.main([*map(str, [*files, *args]), '--device', 'cpu', '--workers', '1'])
        return code, *capsys.readouterr()

    return search


def test_calibrate_and_search(run, search, place, bank):
    code, out, _ = run('calibrate', '--queries', bank)
    assert code == 0
    calibration = VideoIndex(place).calibration()
    assert (len(calibration.bank), len(calibration.videos)) == (4, 8)
    hubs = int(calibration.videos['is_hub'].sum())
    assert out.startswith('calibrated with 4 sentences of bank.txt (sha256 ')
    numbers = f'inverse temperature 20, rule dynamic: 8 videos, {hubs} of them hub candidates'
    assert out.endswith(f', {numbers}\n')
    assert out in run('info')[1]
    code, out, _ = search(*SENTENCES, '--calibrated', '--topk', '8', '--json')
    found = json.loads(out)['queries']
    plain = json.loads(search(*SENTENCES, '--topk', '8', '--json')[1])['queries']
    changed = 0
    for query, other in zip(found, plain, strict=True):
        scores = {hit['video']: hit['score'] for hit in other['hits']}
        assert {hit['video']: hit['score'] for hit in query['hits']} == scores
        assert (other['calibrated'], 'calibrated' in other['hits'][0]) == (False, False)
        ranked_by = [hit['calibrated' if query['calibrated'] else 'score'] for hit in query['hits']]
        assert ranked_by == sorted(ranked_by, reverse=True)
        changed += query['calibrated']
    assert changed


def test_a_table_shows_both_numbers(run, search, place, bank, monkeypatch):
    run('calibrate', '--queries', bank, '--rule', 'always', '--inverse-temperature', '7')
    _, out, err = search(SENTENCES[0], '--calibrated', '--topk', '1')
    hit = json.loads(search(SENTENCES[0], '--calibrated', '--topk', '1', '--json')[1])
    (hit,) = hit['queries'][0]['hits']
    lines = out.splitlines()
    assert lines[0] == f'{SENTENCES[0]}, calibrated'
    assert lines[1].split()[:3] == ['1', f'{hit["score"]:.4f}', f'{hit["calibrated"]:.4f}']
    assert err == '8 videos, 14 windows\n'
    monkeypatch.setattr('sys.stdout.isatty', lambda: True, raising=False)
    for options, number in (['--calibrated'], 1), ([], 0):
        heading = search(SENTENCES[0], *options)[1].splitlines()[2]
        assert (heading.count('score'), heading.count('calibrated')) == (1, number)


def test_a_threshold_of_a_validation(run, search, place, folder, bank):
    """With --keep 0.5, half of the right videos are shown, and fewer of the others."""
    run('calibrate', '--queries', bank, '--rule', 'always')
    _, _, err = search('blue', '--only-fitting')
    assert err == 'error: the calibration has no threshold: calibrate with --validation\n'
    bank.write_text('clip number 1')  # is not read again
    code, out, err = run('calibrate', '--validation', folder / 'all.json', '--keep', '0.5')
    validation = VideoIndex(place).calibration().validation
    assert (code, 'sentences of the validation are in the bank' in err) == (0, False)
    assert (validation.num_queries, validation.num_videos, validation.plain.kept) == (16, 8, 0.5)
    lines = out.splitlines()
    assert 'rule always' in lines[0]
    assert lines[1] == 'validation: 16 sentences of 8 videos of all.json'
    assert lines[2].startswith(f'  R@1: {validation.recall["plain"]:.1f} % by scores; calibrated ')
    plain, calibrated = validation.plain, validation.calibrated
    for line, threshold in zip(lines[3:], (plain, calibrated), strict=True):
        assert f'{threshold.value:.4f}: reached by 50.0% of the right videos; ' in line
        assert f'{threshold.rejected:.1%} of the sentences find nothing' in line
    captions = {
        caption: name
        for name, video in json.loads((folder / 'all.json').read_text()).items()
        for caption in video['captions']
    }
    for options, field, threshold in (
        ([], 'score', plain.value),
        (['--calibrated'], 'calibrated', calibrated.value),
    ):
        arguments = [*captions, '--topk', '8', '--json', *options]
        everything = json.loads(search(*arguments)[1])['queries']
        fitting = json.loads(search(*arguments, '--only-fitting')[1])['queries']
        num_right = 0
        for query, other in zip(fitting, everything, strict=True):
            assert query['hits'] == [hit for hit in other['hits'] if hit[field] >= threshold]
            names = [hit['video'].rsplit('/', 1)[1] for hit in query['hits']]
            num_right += captions[query['query']] in names
        assert num_right == 8
    code, out, _ = search('blue', '--only-fitting', '--min-score', '0.999')
    assert (code, out.splitlines()) == (0, ['blue', '  nothing fits'])


def test_the_share_and_what_is_unfair_are_said(run, place, folder, bank, tmp_path):
    annotation = json.loads((folder / 'all.json').read_text()) | {'no.mp4': ['a', BANK[0]]}
    annotation['1.mp4']['captions'].append(BANK[1])
    (tmp_path / 'val.json').write_text(json.dumps(annotation))
    _, _, err = run('calibrate', '--queries', bank, '--validation', tmp_path / 'val.json')
    assert f'1 videos of {tmp_path}/val.json are not in the index\n' in err
    assert '1 sentences of the validation are in the bank, too\n' in err
    validation = VideoIndex(place).calibration().validation
    assert (validation.num_queries, validation.plain.kept) == (17, 1)  # 95 % of 17
    run('calibrate', '--queries', bank)
    assert VideoIndex(place).calibration().validation is None


def test_videos_that_are_added(run, search, place, bank):
    """They have their number at once, and the next calibrate stores it."""
    run('calibrate', '--queries', bank, '--rule', 'always')
    store = VideoStore(place)
    known = store.view().read_video(0)
    with store.writer() as writer:
        writer.add([replace(known, path='/copy.mp4')])
    arguments = [SENTENCES[0], '--calibrated', '--topk', '9', '--json']
    _, out, err = search(*arguments)
    hits = {hit['video']: hit['calibrated'] for hit in json.loads(out)['queries'][0]['hits']}
    assert hits['/copy.mp4'] == pytest.approx(hits[known.path])
    assert err.startswith('1 videos are new since the calibration and are compared now; ')
    assert f'tools/index.py {place} calibrate stores it\n' in err
    assert '9 videos' in run('calibrate')[1]
    assert search(*arguments)[1:] == (out, '9 videos, 15 windows\n')
    assert len(VideoIndex(place).calibration().videos) == 9


def test_the_rule_may_be_changed(run, place, bank):
    run('calibrate', '--queries', bank)
    before = VideoIndex(place).calibration()
    assert 'rule always' in run('calibrate', '--rule', 'always')[1]
    assert 'rule dynamic' in run('calibrate', '--rule', 'dynamic')[1]
    np.testing.assert_array_equal(VideoIndex(place).calibration().videos, before.videos)


def test_the_model_gives_the_same(run, place, folder, bank, tmp_path):
    """An index without a copy of the text encoder, or without a certified score, needs it."""
    run('calibrate', '--queries', bank)
    copied = VideoIndex(place).calibration()
    shutil.rmtree(place / 'text_encoder')
    code, _, err = run('calibrate', '--queries', bank)
    message = 'has no copy of its text encoder: name the model with --model'
    assert (code, err) == (1, f'error: {place} {message}\n')
    model = ['--model', folder / 'config.py', folder / 'model.pth']
    assert run('calibrate', '--queries', bank, *model)[0] == 0
    found = VideoIndex(place).calibration().videos
    np.testing.assert_allclose(found['attraction'], copied.videos['attraction'], atol=1e-5)
    description = json.loads((place / 'index.json').read_text())
    (place / 'index.json').write_text(json.dumps(description | dict(score=None)))
    assert 'needs the model: name it with --model' in run('calibrate', '--queries', bank)[2]
    assert run('calibrate', '--queries', bank, *model)[0] == 0
    calibration = VideoStore(place).folder / 'calibration'
    assert calibration.exists()
    content = torch.load(folder / 'model.pth')
    content['state_dict']['text_encoder.proj.weight'] += 1
    torch.save(content, tmp_path / 'other.pth')
    other = ['--model', folder / 'config.py', tmp_path / 'other.pth']
    assert 'was made with another model' in run('calibrate', '--queries', bank, *other)[2]


def test_wrong_files(run, search, place, bank, tmp_path):
    code, _, err = search('blue', '--calibrated')
    assert (code, f'{place} has no calibration; python tools/index.py {place}' in err) == (1, True)
    assert run('calibrate')[2] == err
    missing = tmp_path / 'nothing.txt'
    message = f'error: query bank {missing} does not exist\n'
    assert run('calibrate', '--queries', missing)[2] == message
    bank.write_text('\n')
    assert run('calibrate', '--queries', bank)[2] == (
        f'error: {bank} holds no sentence, expected one in each line\n'
    )
    bank.write_text('a dog')
    (tmp_path / 'val.json').write_text('{"no.mp4": ["a"]}')
    files = ['--queries', bank, '--validation', tmp_path / 'val.json']
    assert 'none of the 1 videos' in run('calibrate', *files)[2]
    assert not (place / 'calibration').exists()
    run('calibrate', '--queries', bank)
    (place / 'calibration').write_bytes(b'{}')
    for found in (run('info'), search('blue', '--calibrated'), run('calibrate')):
        assert (found[0], 'calibration is damaged' in found[2]) == (1, True)
    assert search('blue')[0] == 0


def test_a_plain_folder(run, search, folder, bank, tmp_path):
    """Its index in the cache is calibrated at the place that the error names."""
    arguments = [SENTENCES[0], '--cache-dir', tmp_path / 'cache', '--calibrated']
    code, _, err = search(*arguments, place=folder / 'videos')
    assert code == 1
    (cache,) = (tmp_path / 'cache').iterdir()
    assert f'python tools/index.py {cache} calibrate --queries FILE' in err
    model = ['--model', folder / 'config.py', folder / 'model.pth']
    assert run('calibrate', '--queries', bank, '--rule', 'always', *model, place=cache)[0] == 0
    page = ['--html', tmp_path / 'page.html']
    code, out, _ = search(*arguments, *page, place=folder / 'videos')
    assert (code, out.splitlines()[0]) == (0, f'{SENTENCES[0]}, calibrated')
    assert f'{SENTENCES[0]}, calibrated' in (tmp_path / 'page.html').read_text()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['info', '--queries', 'a.txt'], '--queries belongs to calibrate'),
        (['info', '--rule', 'always'], '--rule belongs to calibrate'),
        (['calibrate', '--keep', '0.9'], '--keep needs --validation'),
        (['calibrate', '--validation', 'a', '--keep', '2'], "'2' is not a share"),
        (['calibrate', '--inverse-temperature', '9'], 'name it with --queries'),
    ],
)
def test_wrong_arguments_of_calibrate(run, capsys, args, message):
    with pytest.raises(SystemExit) as stop:
        run(*args)
    assert (stop.value.code, message in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--like', 'a.png', '--calibrated'], '--calibrated is for sentences'),
        (['--like', 'a.png', '--only-fitting'], '--only-fitting is for sentences'),
        (['blue', '--minus', 'red', '--only-fitting'], 'it excludes --minus'),
    ],
)
def test_wrong_arguments_of_search(search, capsys, args, message):
    with pytest.raises(SystemExit) as stop:
        search(*args)
    assert (stop.value.code, message in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize('option', ['--calibrated', '--only-fitting'])
def test_an_index_in_milvus_is_refused(search, capsys, option):
    with pytest.raises(SystemExit):
        search('blue', option, place='gallery.db')
    message = f'{option} needs an index in a folder, and gallery.db is in Milvus: copy it with '
    assert message + 'tools/index.py gallery.db copy --to FOLDER' in capsys.readouterr().err
