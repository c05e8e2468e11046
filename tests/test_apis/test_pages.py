import os
import re

import pytest
from tiny import Page

from ts2net_mm.apis import SearchHit, write_html_report

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
    pictures = page.values('img', 'alt')
    assert all(re.match(r'.+\.mp4, frame at \d+:\d\d\.\d', text) for text in pictures)
    assert sum(text.endswith(', the best') for text in pictures) == len(hits)


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
    page = write({'a': [SearchHit(1, 0.5, 'frames', tmp_path, best_seconds=1.0)]})
    assert 'video' not in page.tags
    assert page.values('a', 'href') == [tmp_path.as_uri()]


def test_the_page_loads_nothing(write, results):
    page = write(results)
    sources = [value for _, name, value in page.attributes if name in ('src', 'href', 'poster')]
    assert sources
    assert all(value.startswith(('data:image/jpeg;base64,', 'file:///')) for value in sources)
    assert not {'script', 'link', 'iframe'} & set(page.tags)
    assert not re.search(r'https?:|url\(|@import', page.source)
    assert "default-src 'none'" in page.source


@pytest.mark.parametrize('folder', ['', '\'"><script>x</script>&\x1b\udcff\n'])
@pytest.mark.parametrize('is_readable', [True, False])
def test_names_are_escaped(write, make_video, tmp_path, folder, is_readable):
    name = '<script>x</script> "\'& {{ 7 * 7 }} > \n\x1b\udcff.mp4'
    shown = '<script>x</script> "\'& {{ 7 * 7 }} > \\n\\x1b\\udcff.mp4'
    path = tmp_path / folder.replace('/', '') / name.replace('/', '')
    if is_readable:
        make_video(path)
    page = write({'a': [SearchHit(1, 0.5, name, path)]})
    assert 'script' not in page.tags
    assert shown in page.texts
    assert page.values('video', 'aria-label') == [shown]
    assert page.values('video', 'src') == [path.as_uri()]
    assert all(alt.startswith(f'{shown}, frame') for alt in page.values('img', 'alt'))
    assert page.source.replace('\n', '').isprintable()
    reasons = [text for text in page.texts if text.startswith('Its frames cannot be shown: ')]
    assert [text.partition(': ')[2] for text in reasons] == (
        [] if is_readable else ['the file does not exist']
    )
