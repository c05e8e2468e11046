"""tools/search.py from the command line."""

import json
import math
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import pytest
import torch
from decord import VideoReader
from tiny import Page

from ts2net_mm.apis import Gallery, SearchHit, reading, write_html_report
from ts2net_mm.apis.reading import Frame
from ts2net_mm.video import guarded_reader

RUNTIME = Path(__file__).parents[2] / 'configs' / '_base_' / 'default_runtime.py'
OPTIONS = dict(html='--html', cache_dir='--cache-dir')
KEYS = ('rank', 'score', 'name', 'video', 'best_seconds')
TOOL = Path(__file__).parents[2] / 'tools' / 'search.py'


@pytest.fixture
def tool(load_tool):
    return load_tool('search.py')


@pytest.fixture
def search(tool, config_file, checkpoint, video_folder, tmp_path, capsys):
    """Run the tool; returns exit code, stdout, stderr."""

    def run(*args, config=config_file, weights=checkpoint, folder=video_folder):
        common = ['--device', 'cpu', '--cache-dir', str(tmp_path / 'cache')]
        code = tool.main([str(config), str(weights), str(folder), *args, *common])
        return code, *capsys.readouterr()

    return run


def assert_one_line(err, message):
    assert err.startswith('error: ')
    assert message in err
    assert err.count('\n') == 1


def rows(out):
    """Rank, score and name of the lines that start with a rank; times are between them."""
    lines = [line.strip(' |').split(None, 5) for line in out.splitlines()]
    return [[*cells[:2], cells[5]] for cells in lines if len(cells) == 6 and cells[0].isdigit()]


def test_a_table_for_each_sentence(search, inferencer, video_folder, tmp_path):
    code, out, err = search('a red circle', 'the [blue] one', '--topk', '2')
    assert code == 0
    assert err == '6 videos, 6 of them encoded now\n'
    assert out.index('a red circle') < out.index('the [blue] one')
    assert [row[0] for row in rows(out)] == ['1', '2', '1', '2']
    gallery = Gallery.open(video_folder, inferencer, cache_dir=tmp_path / 'gallery')
    hits = inferencer.search('a red circle', gallery, topk=2)
    assert rows(out)[:2] == [[str(hit.rank), f'{hit.score:.4f}', hit.name] for hit in hits]
    assert search('a red circle', '--amp')[2] == '6 videos, 6 of them encoded now\n'


def test_files_that_are_not_searched_are_reported(search, bad_folder, make_video):
    make_video(bad_folder / 'good [red] \'x\' "y" ü.dat')
    make_video(bad_folder / 'two\nlines.mp4')
    for name in ('a.txt', 'b.txt', 'c.srt'):
        (bad_folder / name).write_text('no video')
    code, out, err = search('a', folder=bad_folder)
    assert code == 0
    assert {row[2] for row in rows(out)} == {'good [red] \'x\' "y" ü.dat', r'two\nlines.mp4'}
    assert err.splitlines() == [
        '2 videos, 2 of them encoded now',
        'skipped 6 videos that cannot be read:',
        '  audio.mp4: it has no video stream (audio only?)',
        '  cut.mp4: it is damaged or no video',
        '  empty.mp4: the file is empty',
        '  link.mp4: the file does not exist',
        '  pipe.mp4: it is no regular file',
        '  text.mp4: it is damaged or no video',
        '3 files are not videos: .txt (2), .srt (1)',
    ]


def test_results_come_before_a_page_that_fails(search, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError('disk full')

    page = ('--html', str(tmp_path / 'page.html'))
    code, out, err = search('a red circle', *page)
    assert (code, out.splitlines()[-1]) == (0, f'page: {tmp_path / "page.html"}')
    monkeypatch.setattr('os.replace', fail)
    code, out, err = search('a red circle', *page)
    assert code == 1
    assert len(rows(out)) == 5
    assert err.endswith('error: disk full\n')


def test_json(search, video_folder):
    code, out, _ = search('a red circle', 'blue', '--topk', '2', '--json')
    assert code == 0
    found = json.loads(out)
    assert list(found) == ['folder', 'videos', 'skipped', 'left', 'queries']
    assert list(found.values())[:4] == [str(video_folder), 6, {}, {}]
    assert [query['query'] for query in found['queries']] == ['a red circle', 'blue']
    for hit in found['queries'][0]['hits']:
        assert hit.keys() == {*KEYS, 'duration', 'moments'}
        assert hit['moments'][0]['best_seconds'] == hit['best_seconds']
        assert Path(hit['video']).is_file()
        assert 0 <= hit['best_seconds'] <= 2
    tables = search('a red circle', '--topk', '2')[1]
    assert rows(tables) == [
        [str(hit['rank']), f'{hit["score"]:.4f}', hit['name']]
        for hit in found['queries'][0]['hits']
    ]


def test_moments_of_long_videos(search, make_video, tmp_path):
    """A video is cut into windows of the model's four frames, 1.33 seconds, or stays whole."""
    videos = tmp_path / 'videos'
    for number in range(3):
        make_video(videos / f'{number}.mp4', seed=number, frames=60)  # 10 seconds
    code, out, err = search('a red circle', '--json', folder=videos)
    assert (code, err) == (0, '3 videos, 3 of them encoded now\n')
    for hit in json.loads(out)['queries'][0]['hits']:
        spans = [(moment['start'], moment['end']) for moment in hit['moments']]
        assert all(end - start == pytest.approx(4 / 3, abs=0.01) for start, end in spans)
        assert all(a[1] <= b[0] + 1e-3 for a, b in pairwise(sorted(spans)))  # joined
        assert spans[0][0] <= hit['best_seconds'] <= spans[0][1]
    whole = json.loads(search('a red circle', '--whole', '--json', folder=videos)[1])
    moments = [hit['moments'] for hit in whole['queries'][0]['hits']]
    assert [(m['start'], m['end']) for (m,) in moments] == [(0, pytest.approx(10))] * 3
    assert search('a', '--window', '3', folder=videos)[2] == '3 videos, 3 of them encoded now\n'
    assert search('a', folder=videos)[2] == '3 videos, 0 of them encoded now\n'


def test_a_page_shows_the_frames_of_the_moment(search, make_video, tmp_path):
    make_video(tmp_path / 'videos/a.mp4', frames=60)
    options = ['--json', '--html', str(tmp_path / 'page.html')]
    code, out, _ = search('a red circle', *options, folder=tmp_path / 'videos')
    ((hit,),) = [query['hits'] for query in json.loads(out)['queries']]
    moment, page = hit['moments'][0], Page(tmp_path / 'page.html')
    assert code == 0
    assert page.values('a', 'class').count('frame best') == 1
    shown = [float(t.split(':')[1]) for t in page.texts if re.fullmatch(r'0:\d\d\.\d', t)]
    assert len(shown) == 4
    assert page.tags.count('img') == 4
    (best,) = [label for label in page.values('svg', 'aria-label') if label.endswith(', the best')]
    assert f'0:{moment["best_seconds"]:04.1f}, similarity' in best
    assert all(moment['start'] - 0.1 <= seconds <= moment['end'] for seconds in shown)


def test_a_page_shows_each_sentence_its_moment(tmp_path, video_folder):
    """Two sentences find other moments of one video, and a third the whole of it without times."""

    class Reader:
        name = 'model'

        def read_frames(self, paths, *, large, times, num_workers):
            ((path, shown),) = times.items()
            assert list(paths) == [path]
            assert large[path] <= set(shown)
            return {path: [Frame(n, b'', 4, 4, s) for n, s in enumerate(shown or (None,))]}

    video = video_folder / '2.mp4'
    hits = {
        sentence: [SearchHit(1, 0.5, '2.mp4', video, scores, moment)]
        for sentence, scores, moment in (
            ('first', (0.2, 0.1), (1.0, 2.0)),
            ('second', (0.1, 0.2), (60.0, 61.0)),
            ('whole', (0.3,), (math.nan,)),
        )
    }
    write_html_report(tmp_path / 'page.html', hits, Reader())
    page = Page(tmp_path / 'page.html')
    shown = [text for text in page.texts if re.fullmatch(r'\d:\d\d\.\d', text)]
    assert shown == ['0:01.0', '0:02.0', '1:00.0', '1:01.0']
    assert page.tags.count('img') == 5


def test_queries_and_filters_of_an_index(search, video_folder):
    """A folder can be searched for what resembles a video, and with conditions."""
    example = str(video_folder / '2.mp4')
    code, out, _ = search('--like', example, '--under', str(video_folder), '--topk', '1')
    assert code == 0
    assert rows(out)[0][2] == '2.mp4'
    assert search('a', '--min-score', '0.9999')[1] == 'a\n  nothing fits\n'


def test_damage_in_the_cache_says_what_to_do(search, tmp_path):
    search('a')
    (frames,) = (tmp_path / 'cache').rglob('frames')
    frames.write_bytes(bytes(frames.stat().st_size))
    code, _, err = search('a')
    assert code == 1
    assert 'is damaged: ' in err
    assert err.endswith(f'; delete {frames.parents[2]}, and the videos are encoded again\n')


@pytest.mark.parametrize('content', ['', '{"format":', '[]', '{"format": "ts2net_mm index 0"}'])
def test_a_damaged_description_in_the_cache_says_what_to_do(search, tmp_path, content):
    search('a')
    (description,) = (tmp_path / 'cache').rglob('index.json')
    description.write_text(content)
    code, out, err = search('a')
    assert (code, out) == (1, '')
    assert_one_line(err, f'{description} is no description of an index: ')
    assert err.endswith(f'; delete {description.parent}, and the videos are encoded again\n')


def test_a_folder_is_listed_once(search, monkeypatch):
    folders = []
    find = reading.find_videos
    monkeypatch.setattr(
        reading, 'find_videos', lambda path, **kwargs: folders.append(path) or find(path, **kwargs)
    )
    assert search('a')[0] == 0
    assert len(folders) == 1


def test_a_terminal_gets_a_table(search, monkeypatch):
    plain = search('a red circle')[1]
    assert plain.isascii()
    monkeypatch.setattr('sys.stdout.isatty', lambda: True)
    drawn = search('a red circle')[1]
    assert '\u2500' in drawn
    assert rows(drawn) == rows(plain)


def test_a_long_sentence_is_cut(search, caplog):
    code, _, _ = search('word ' * 30)
    assert code == 0
    assert 'a sentence has 30 tokens, of which the model reads the first 14' in caplog.text


def test_a_video_that_hangs_the_decoder_is_skipped(search, tmp_path, monkeypatch):
    """The test pipeline has DecordInit, which has no time limit."""
    program = tmp_path / 'hangs.py'
    program.write_text(
        'import sys, time\n'
        'from multiprocessing.connection import Connection\n'
        'connection = Connection(int(sys.argv[1]))\n'
        "connection.send('ready')\n"
        'time.sleep(1000)\n'
    )
    monkeypatch.setattr(guarded_reader, 'PROGRAM', program)
    monkeypatch.setattr('ts2net_mm.apis.reading.DECODER_TIMEOUT', 0.5)
    code, _, err = search('a')
    assert code == 1
    assert 'none of the 6 videos' in err
    assert 'no answer within 0.5 seconds' in err


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(folder='nowhere'), 'video folder nowhere does not exist'),
        (dict(folder=__file__), 'is a file, expected a folder of videos'),
        (dict(folder=Path(__file__).parent), 'there is no video file in'),
        (dict(config='no.py'), 'config no.py does not exist'),
        (dict(config='README.md'), 'README.md is not a config, expected a file in .py, .yaml'),
        (dict(weights='no.pth'), 'checkpoint no.pth does not exist and is not a name like'),
        (dict(html=Path(__file__).parent), 'is a folder, expected a file name'),
        (dict(cache_dir=__file__), 'cannot be made: /'),
    ],
)
def test_wrong_paths_are_found_before_the_imports(
    tool, config_file, checkpoint, video_folder, capsys, monkeypatch, change, message
):
    monkeypatch.chdir(TOOL.parents[1])
    monkeypatch.setitem(sys.modules, 'ts2net_mm.apis', None)  # importing it raises
    paths = dict(config=config_file, weights=checkpoint, folder=video_folder) | change
    args = [paths.pop(name) for name in ('config', 'weights', 'folder')]
    options = [text for name, path in paths.items() for text in (OPTIONS[name], path)]
    assert tool.main([*map(str, args), 'a', *map(str, options)]) == 1
    assert_one_line(capsys.readouterr().err, message)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(weights=__file__), 'cannot be read as a checkpoint'),
        (dict(weights='ViT-B/33'), 'a name would be one of ViT-B/32, ViT-B/16'),
        (dict(config=RUNTIME), 'has no model'),
    ],
)
def test_errors_are_one_line(search, change, message):
    code, out, err = search('a', **change)
    assert (code, out) == (1, '')
    assert_one_line(err, message)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['!!! \u200b'], 'has no word'),
        (['a', '--device', '0'], "'0' is not a device like 'cpu' or 'cuda:1'"),
    ],
)
def test_wrong_arguments(tool, capsys, args, message):
    with pytest.raises(SystemExit) as caught:
        tool.main(['config.py', 'model.pth', 'videos', *args])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def run_process(*command):
    environment = dict(os.environ, PYTHONPATH=str(TOOL.parents[1]), PYTHONIOENCODING='utf-8')
    command = [sys.executable, *map(str, command)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_a_terminated_search_keeps_encoded_videos(config_file, checkpoint, tmp_path, make_video):
    for index in range(9):
        make_video(tmp_path / 'videos' / f'{index}.mp4')
    program = (
        'import os, runpy, signal, sys\n'
        'from ts2net_mm.search.encoding import _Adding\n'
        'add = _Adding.add\n'
        'def stop(self, entry):\n'
        '    add(self, entry)\n'
        '    os.kill(os.getpid(), signal.SIGTERM)\n'
        '_Adding.add = stop\n'
        f"runpy.run_path({str(TOOL)!r}, run_name='__main__')\n"
    )
    args = [config_file, checkpoint, tmp_path / 'videos', 'a', '--cache-dir', tmp_path / 'cache']
    run = run_process('-c', program, *args)
    assert (run.returncode, run.stderr) == (143, 'terminated\n')
    again = run_process(TOOL, *args)
    assert (again.returncode, again.stderr) == (0, '9 videos, 8 of them encoded now\n')


@pytest.mark.slow
def test_as_a_process(config_file, checkpoint, video_folder, tmp_path):
    config = tmp_path / 'logs.py'
    config.write_text(
        f'_base_ = {str(config_file)!r}\n'
        'model = dict(head=dict(temporal=dict(num_positions=6)))\n'  # 12 needed: logged
    )
    weights = torch.load(checkpoint)
    positions = weights['state_dict']['head.temporal.pos_embed']
    weights['state_dict']['head.temporal.pos_embed'] = positions[:6].clone()
    torch.save(weights, tmp_path / 'logs.pth')
    args = [config, tmp_path / 'logs.pth', video_folder, 'a cat', '--cache-dir', tmp_path]
    run = run_process(TOOL, *args, '--json')
    assert run.returncode == 0, run.stderr
    assert '6 videos, 6 of them encoded now\n' in run.stderr
    assert 'mmengine - INFO' in run.stderr
    assert len(json.loads(run.stdout)['queries'][0]['hits']) == 5


def test_a_search_over_folders_of_frames(search, config_file, video_folder, tmp_path):
    for path in video_folder.rglob('*.mp4'):
        folder = tmp_path / 'frames' / path.relative_to(video_folder).with_suffix('')
        folder.mkdir(parents=True)
        for number, frame in enumerate(VideoReader(str(path)), start=1):
            bgr = cv2.cvtColor(frame.asnumpy(), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / f'{number:04}.png'), bgr)
    lines = [
        f'_base_ = {str(config_file)!r}',
        "frames = dict(type='FrameFolderInit', fps=6, filename_tmpl='{:04}.png')",
        'steps = _base_.test_pipeline',
        "test_pipeline = [frames, steps[1], dict(type='RawFrameDecode'), *steps[3:]]",
    ]
    config = tmp_path / 'frames.py'
    config.write_text('\n'.join(lines))
    expected = search('a red circle', '--topk', '6')
    page = tmp_path / 'found.html'
    found = search(
        *('a red circle', '--topk', '6', '--html', str(page)),
        config=config,
        folder=tmp_path / 'frames',
    )
    assert found[0] == 0
    assert found[2] == '6 videos, 6 of them encoded now\n'
    names = [[rank, score, name.replace('.mp4', '')] for rank, score, name in rows(expected[1])]
    assert rows(found[1]) == names
    assert page.read_text().count('data:image/jpeg') >= 6
    again = search('a red circle', config=config, folder=tmp_path / 'frames')
    assert again[2] == '6 videos, 0 of them encoded now\n'
    code, _, err = search('a red circle', config=config, folder=video_folder)
    assert code == 1
    assert f'there is no folder of pictures like 0001.png in {video_folder}' in err
