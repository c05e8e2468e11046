import os
import re
from html.parser import HTMLParser

import pytest

from ts2net_mm.apis import Gallery, SearchHit, write_html_report
from ts2net_mm.apis.html_report import _columns
from ts2net_mm.apis.reading import Frame

SENTENCE = 'a <b>red</b> "circle" & more'


class Page(HTMLParser):
    """Collects the texts, tags and attributes of a page."""

    def __init__(self, path):
        super().__init__()
        self.texts, self.tags, self.attributes = [], [], []
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attr) for attr in attrs]

    def handle_data(self, data):
        self.texts.append(data.strip())


@pytest.fixture(scope='module')
def gallery(inferencer, video_folder, tmp_path_factory):
    return Gallery.open(video_folder, inferencer, cache_dir=tmp_path_factory.mktemp('cache'))


@pytest.fixture
def results(inferencer, gallery):
    return {text: inferencer.search(text, gallery, topk=6) for text in (SENTENCE, 'second')}


def test_the_page_shows_hits_with_their_frames(inferencer, results, tmp_path):
    path = tmp_path / 'made' / 'page.html'
    write_html_report(path, results, inferencer, num_videos=6)
    page = Page(path)
    assert page.tags.count('h1') == 2
    assert page.tags.count('li') == 12
    assert page.tags.count('img') == 2 * (5 * 4 + 2)
    assert page.tags.count('video') == 12
    assert SENTENCE in page.texts
    for hits in results.values():
        for hit in hits:
            assert hit.name in page.texts
            assert f'{hit.score:.4f}' in page.texts
    assert os.listdir(path.parent) == ['page.html']


def test_hits_can_be_opened_at_their_best_frame(inferencer, results, video_folder, tmp_path):
    path = tmp_path / 'page.html'
    write_html_report(path, results, inferencer)
    page = Page(path)
    hits = [hit for found in results.values() for hit in found]
    assert all(hit.best_seconds is not None for hit in hits)
    links = [value for tag, name, value in page.attributes if (tag, name) == ('a', 'href')]
    assert len(links) == 12 + page.tags.count('img')  # each name and each frame
    posters = [value for tag, name, value in page.attributes if (tag, name) == ('video', 'poster')]
    assert len(posters) == len(hits)
    players = [value for tag, name, value in page.attributes if (tag, name) == ('video', 'src')]
    assert len(players) == len(hits)
    for player, hit in zip(players, hits, strict=True):
        address, seconds = player.split('#t=')
        assert address == hit.path.as_uri()
        assert 0 <= float(seconds) - hit.best_seconds < 0.0011  # earlier is the frame before
        assert links.count(player) >= 2  # the name and the best frame
    assert {str(hit.path) for hit in hits} <= set(page.texts)
    texts = [text for text in page.texts if text]
    assert texts[texts.index('Model') + 1] == 'tiny.py with tiny.pth'
    assert texts[texts.index('Folder') + 1] == str(video_folder)
    assert re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d', texts[texts.index('Date') + 1])
    assert 'the page may' in path.read_text(encoding='utf-8')
    pictures = [value for tag, name, value in page.attributes if (tag, name) == ('img', 'alt')]
    assert all(re.match(r'.+\.mp4, frame at \d+:\d\d\.\d', text) for text in pictures)
    # the best frame of each hit is marked
    assert sum(text.endswith(', the best') for text in pictures) == len(hits)


def test_a_folder_of_pictures_has_no_player(inferencer, tmp_path):
    hit = SearchHit(rank=1, score=0.5, name='frames', path=tmp_path, best_seconds=1.0)
    path = tmp_path / 'page.html'
    write_html_report(path, {'a': [hit]}, inferencer)
    page = Page(path)
    assert 'video' not in page.tags
    assert ('a', 'href', tmp_path.as_uri()) in page.attributes


@pytest.mark.parametrize(
    ('number', 'width', 'height', 'beside_player', 'columns'),
    [
        (1, 320, 180, True, 1),
        (4, 320, 180, True, 2),
        (12, 320, 180, True, 4),
        (12, 320, 180, False, 7),
        (5, 180, 320, True, 4),
        (2, 180, 320, False, 2),
    ],
)
def test_frames_fill_the_card(number, width, height, beside_player, columns):
    strip = [Frame(b'', None, width, height)] * number
    assert _columns(strip, beside_player=beside_player) == columns


def test_the_page_asks_for_nothing(inferencer, results, tmp_path):
    path = tmp_path / 'page.html'
    write_html_report(path, results, inferencer)
    page = Page(path)
    sources = [value for _, name, value in page.attributes if name in ('src', 'href')]
    assert sources
    assert all(value.startswith(('data:image/jpeg;base64,', 'file:///')) for value in sources)
    assert not {'script', 'link', 'iframe'} & set(page.tags)
    text = path.read_text(encoding='utf-8')
    assert not re.search(r'https?:|url\(|@import', text)
    assert "default-src 'none'" in text


def test_names_are_escaped(inferencer, video_folder, tmp_path):
    name = '<script>x</script> "&\n.mp4'
    hit = SearchHit(rank=1, score=0.5, name=name, path=video_folder / '0.mp4')
    path = tmp_path / 'page.html'
    write_html_report(path, {'a': [hit]}, inferencer)
    page = Page(path)
    assert 'script' not in page.tags
    assert r'<script>x</script> "&\n.mp4' in page.texts


def test_a_video_that_is_gone_has_a_reason(inferencer, tmp_path):
    hit = SearchHit(rank=1, score=0.5, name='gone.mp4', path=tmp_path / 'gone.mp4')
    path = tmp_path / 'page.html'
    write_html_report(path, {'a': [hit]}, inferencer)
    assert 'Its frames cannot be shown: the file does not exist' in Page(path).texts


def test_a_write_that_fails_leaves_the_old_page_alone(inferencer, results, tmp_path, monkeypatch):
    path = tmp_path / 'page.html'
    path.write_text('old')

    def fail(*args):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='disk full'):
        write_html_report(path, results, inferencer)
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['page.html']


def test_a_page_that_is_a_folder(inferencer, tmp_path):
    with pytest.raises(IsADirectoryError, match='is a folder, expected a file name'):
        write_html_report(tmp_path, {}, inferencer)


def test_a_folder_that_cannot_be_made(inferencer, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match='folder of page .* cannot be made'):
        write_html_report(tmp_path / 'file' / 'page.html', {}, inferencer)


def test_a_folder_that_cannot_be_written(inferencer, tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(PermissionError, match='folder of page .* cannot be written'):
        write_html_report(tmp_path / 'page.html', {}, inferencer)
