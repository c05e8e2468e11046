"""The page of a search in a headless Chromium."""

import numpy as np
import pytest
from browsing import CURRENT_TIME, wait_for
from tiny import write_h264

from ts2net_mm.apis import SearchHit, write_html_report
from ts2net_mm.rendered import encode_mp4

pytestmark = pytest.mark.slow
SECONDS = tuple(np.arange(0.0, 3.6, 0.3).tolist())


@pytest.fixture
def open_page(browser, inferencer, tmp_path):
    """Function that writes a page of two hits and opens it; no script fails, nothing is fetched."""
    write_h264(tmp_path / 'plays.mp4', seed=0)
    noise = np.random.default_rng(0).integers(0, 255, (48, 6, 8, 3), np.uint8)
    blocks = noise.repeat(16, 1).repeat(16, 2)
    (tmp_path / 'does not.mp4').write_bytes(encode_mp4(blocks, fps=12))  # Motion JPEG
    scores = tuple(np.linspace(0.1, 0.4, len(SECONDS)).tolist())
    hits = [
        SearchHit(rank, 0.3, name, tmp_path / name, found, SECONDS)
        for rank, name, found in ((1, 'plays.mp4', scores), (2, 'does not.mp4', scores[::-1]))
    ]
    write_html_report(tmp_path / 'page.html', {'a clip': hits}, inferencer)
    pages, errors, addresses = [], [], []

    def open_page(**settings):
        pages.append(browser.new_page(**settings))
        pages[0].on('pageerror', lambda error: errors.append(str(error)))
        pages[0].on('console', lambda message: errors.append(message.text))
        pages[0].on('request', lambda request: addresses.append(request.url))
        pages[0].goto((tmp_path / 'page.html').as_uri())
        return pages[0]

    yield open_page
    pages[0].close()
    assert errors == []
    assert [url for url in addresses if not url.startswith(('file:', 'data:'))] == []


def test_a_click_on_a_frame_plays_from_there(open_page):
    page = open_page()
    video = page.locator('video').first
    video.evaluate('video => { video.play = async () => {}; }')  # it would move on
    frame = page.locator('li').first.locator('a.frame').nth(4)
    frame.click()
    seconds = float(frame.get_attribute('data-seek'))
    wait_for(lambda: video.evaluate(CURRENT_TIME) == pytest.approx(seconds, abs=0.01))
    video.evaluate('video => { delete video.play; video.load(); }')
    frame.click()
    wait_for(lambda: video.evaluate(CURRENT_TIME) > seconds + 0.3)
    shown = video.evaluate('video => { video.pause(); return video.currentTime; }')
    marked = page.locator('.frame.now')
    wait_for(lambda: 0 <= shown - float(marked.get_attribute('data-seek')) < 0.3 - 0.01)


def test_arrow_keys_move_inside_a_timeline(open_page):
    page = open_page()
    timeline = page.locator('.timeline').first
    last = timeline.locator('a.frame').last
    assert last.get_attribute('tabindex') == '0'  # the best one, and the only stop of the Tab key
    assert timeline.locator('[tabindex="0"]').count() == 1
    last.focus()
    page.keyboard.press('ArrowLeft')
    frame = timeline.locator('a.frame').nth(-2)
    assert frame.evaluate('element => element === document.activeElement')
    page.keyboard.press('Enter')
    wait_for(lambda: page.locator('video').first.evaluate(CURRENT_TIME) >= SECONDS[-2])


def test_a_file_that_the_browser_cannot_play(open_page):
    page = open_page()
    card = page.locator('li').nth(1)
    card.locator('a.frame').first.click()
    card.get_by_text('This browser cannot play this file from here.').wait_for()


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_it_fits_a_phone(open_page, scheme):
    page = open_page(viewport=dict(width=360, height=740), color_scheme=scheme)
    assert page.evaluate('document.documentElement.scrollWidth') == 360
    timeline, best = page.locator('.timeline').first, page.locator('.frame.best').first
    assert best.bounding_box()['x'] < 360  # the last frame is scrolled to
    assert timeline.evaluate('timeline => timeline.scrollLeft') > 0
