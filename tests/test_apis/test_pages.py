import base64
import hashlib
import math
import os
import re

import numpy as np
import pytest
from tiny import Page

from ts2net_mm.apis import SearchHit, write_html_report
from ts2net_mm.apis.reading import Frame

SENTENCE = 'a <b>red</b> "circle" & {{ more }}'


@pytest.fixture
def write(inferencer, tmp_path):
    """Write a page and read it."""

    def write_(results, **kwargs):
        write_html_report(tmp_path / 'made' / 'page.html', results, inferencer, **kwargs)
        assert os.listdir(tmp_path / 'made') == ['page.html']
        return Page(tmp_path / 'made' / 'page.html')

    return write_


@pytest.fixture
def results(inferencer, gallery):
    return {text: inferencer.search(text, gallery, topk=6) for text in (SENTENCE, 'second')}


def test_the_page_shows_hits_with_their_frames(write, results, video_folder):
    page = write(results, num_videos=6)
    assert page.tags.count('h1') == 2
    assert page.tags.count('li') == 12
    assert page.tags.count('img') == 2 * (5 * 4 + 2)
    assert page.texts[0] == f'{SENTENCE} · second'
    assert page.texts.count(SENTENCE) == 1
    hits = [hit for found in results.values() for hit in found]
    for hit in hits:
        assert {hit.name, f'{hit.score:.4f}', str(hit.path)} <= set(page.texts)
    assert page.texts[page.texts.index('Model') + 1] == 'tiny.py with tiny.pth'
    assert page.texts[page.texts.index('Folder') + 1] == f'{video_folder} (6 videos)'
    assert re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d', page.texts[page.texts.index('Date') + 1])
    labels = page.values('svg', 'aria-label')
    assert len(labels) == page.tags.count('img')
    assert sum(text.endswith(', the best') for text in labels) == len(hits)


def test_bars_show_the_similarity_of_each_frame(write, results):
    page = write(results)
    bars = iter(zip(page.values('rect', 'height'), page.values('rect', 'y'), strict=True))
    labels = iter(page.values('svg', 'aria-label'))
    posters = iter(page.values('video', 'poster'))
    pictures = iter(page.values('img', 'src'))
    for hits in results.values():
        scores = np.concatenate([hit.frame_scores for hit in hits])
        low, high = scores.min(), scores.max()
        for hit in hits:
            best = int(np.argmax(hit.frame_scores))
            shown = [next(pictures) for _ in hit.frame_scores]
            assert next(posters) == shown[best]
            for number, (score, seconds) in enumerate(
                zip(hit.frame_scores, hit.frame_seconds, strict=True)
            ):
                height, y = map(float, next(bars))
                assert height == pytest.approx(100 * (score - low) / (high - low), abs=0.51)
                assert y == 100 - height
                time = f'{seconds // 60:.0f}:{seconds % 60:04.1f}'
                label = f'Frame at {time}, similarity {score:.3f}'
                assert next(labels) == label + (', the best' if number == best else '')
    assert not list(bars)


class FakeReader:
    """Has a picture of every second frame, of those that are asked for or of four."""

    name = 'model'

    def read_frames(self, paths, *, large, times, num_workers):
        return {
            path: [
                Frame(number, str(number).encode(), 4, 3, seconds)
                for number, seconds in enumerate(times[path] or 4 * [None])
                if number % 2
            ]
            for path in paths
        }


@pytest.mark.parametrize('seconds', [(1.0, 2.0, 3.0, 4.0), 4 * (math.nan,)])
def test_pictures_stand_at_their_frames_and_bars_at_all(tmp_path, seconds):
    path = tmp_path / 'a.mp4'
    path.touch()
    hit = SearchHit(1, 0.5, 'a.mp4', path, (0.1, 0.5, 0.3, 0.2), seconds)
    write_html_report(tmp_path / 'page.html', {'a': [hit]}, FakeReader())
    page = Page(tmp_path / 'page.html')
    assert page.values('rect', 'height') == ['0', '100', '50', '25']
    frames = [value for _, name, value in page.attributes if name == 'class' and 'frame' in value]
    assert frames == ['frame bare', 'frame best', 'frame bare', 'frame']
    pictures = [base64.b64decode(uri.partition(',')[2]) for uri in page.values('img', 'src')]
    assert pictures == [b'1', b'3']
    assert page.values('video', 'poster') == [page.values('img', 'src')[0]]
    assert page.values('a', 'data-seek') == [str(time) for time in seconds if time > 0]
    times = ['unknown' if math.isnan(time) else f'0:0{time:.1f}' for time in seconds]
    assert [text for text in page.texts if text in times] == times


def test_bars_stay_without_pictures(write, tmp_path):
    page = write({'a': [SearchHit(1, 0.5, 'a.mp4', tmp_path / 'a.mp4', (0.1, 0.5), (0.0, 1.0))]})
    assert page.values('rect', 'height') == ['0', '100']
    assert page.values('a', 'data-seek') == ['0.0', '1.0']
    assert 'Its frames cannot be shown: the file does not exist' in page.texts
    assert 'img' not in page.tags
    assert {'frame', 'frame best'} <= set(page.values('a', 'class'))


def test_hits_open_at_their_best_frame(write, results):
    page = write(results)
    hits = [hit for found in results.values() for hit in found]
    links = page.values('a', 'href')
    assert len(links) == 12 + page.tags.count('img')  # each name and each frame
    assert len(page.values('video', 'poster')) == len(hits)
    for player, hit in zip(page.values('video', 'src'), hits, strict=True):
        address, seconds = player.split('#t=')
        assert address == hit.path.as_uri()
        # not earlier, where the previous frame would be shown
        assert 0 <= float(seconds) - hit.best_seconds < 0.0011
        assert links.count(player) >= 2  # the name and the best frame


def test_a_folder_of_pictures_has_no_player(write, tmp_path):
    page = write({'a': [SearchHit(1, 0.5, 'frames', tmp_path, (0.5,), (1.0,))]})
    assert 'video' not in page.tags
    assert page.values('a', 'href') == [tmp_path.as_uri()]
    assert page.values('span', 'class').count('frame best') == 1


def test_the_page_loads_nothing(write, results):
    page = write(results)
    sources = [value for _, name, value in page.attributes if name in ('src', 'href', 'poster')]
    assert sources
    assert all(value.startswith(('data:image/jpeg;base64,', 'file:///')) for value in sources)
    assert not {'link', 'iframe'} & set(page.tags)
    assert not re.search(r'https?:|url\(|@import', page.source)
    (policy,) = [text for text in page.values('meta', 'content') if 'default-src' in text]
    assert policy.startswith("default-src 'none'; ")
    # one script, and no other may run
    (script,) = re.findall('<script>(.*?)</script>', page.source, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.endswith(f"; script-src 'sha256-{digest}'")
    assert page.tags.count('script') == 1


@pytest.mark.parametrize('folder', ['', '\'"><script>x</script>&\x1b\udcff\n'])
@pytest.mark.parametrize('is_readable', [True, False])
def test_names_are_escaped(write, make_video, tmp_path, folder, is_readable):
    name = '<script>x</script> "\'& {{ 7 * 7 }} > \n\x1b\udcff.mp4'
    shown = '<script>x</script> "\'& {{ 7 * 7 }} > \\n\\x1b\\udcff.mp4'
    path = tmp_path / folder.replace('/', '') / name.replace('/', '')
    if is_readable:
        make_video(path)
    page = write({'a': [SearchHit(1, 0.5, name, path, (0.5, 0.4), (0.0, 1.0))]})
    assert page.tags.count('script') == 1
    assert shown in page.texts
    assert page.values('video', 'aria-label') == [shown]
    assert page.values('video', 'src') == [f'{path.as_uri()}#t=0.000']
    assert page.values('a', 'href') == [
        f'{path.as_uri()}#t={time}' for time in ('0.000', '0.000', '1.000')
    ]
    assert page.source.replace('\n', '').isprintable()
    reasons = [text for text in page.texts if text.startswith('Its frames cannot be shown: ')]
    assert [text.partition(': ')[2] for text in reasons] == (
        [] if is_readable else ['the file does not exist']
    )
