"""The app in a headless Chromium, as a person uses it."""

import socket
import threading

import numpy as np
import pytest
import uvicorn
from browsing import CURRENT_TIME, TIMEOUT, wait_for

from ts2net_mm.rendered import encode_mp4
from ts2net_mm.search.app import create_app

playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
pytestmark = pytest.mark.slow
SECONDS = 4  # of each video


@pytest.fixture
def address(project, model):
    """The address of the running app."""
    app = create_app(model, project.index, max_upload=100_000)
    with socket.create_server(('127.0.0.1', 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level='warning', timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs=dict(sockets=[listener]))
        thread.start()
        yield f'http://127.0.0.1:{listener.getsockname()[1]}'
        server.should_exit = True
        thread.join(timeout=20)


@pytest.fixture
def open_page(browser, address):
    """Function that opens a page; at the end no script failed, and no other server was asked."""
    contexts, errors, addresses = [], [], []

    def open_page(path: str = '/', **settings):
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(1000 * TIMEOUT)
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.on('dialog', lambda dialog: errors.append(f'dialog {dialog.message}'))
        page.on('request', lambda request: addresses.append(request.url))
        page.goto(address + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in addresses if not url.startswith((address, f'blob:{address}'))] == []


def is_ready(video) -> bool:
    return video.evaluate('video => video.readyState >= 2 && !video.seeking')


def test_search_and_play(open_page):
    page = open_page()
    page.get_by_label('Search the videos').fill('a clip')
    page.keyboard.press('Enter')
    page.wait_for_url('**/?*q=a+clip*')
    cards = page.locator('li')
    assert cards.count() == 6
    moments = page.locator('li .timeline:not(details .timeline)')
    for number in range(2):
        video = cards.nth(number).locator('video')
        wait_for(lambda video=video: is_ready(video))
        start = float(moments.nth(number).get_attribute('data-start'))
        assert video.evaluate(CURRENT_TIME) == pytest.approx(start, abs=0.01)
        video.evaluate('video => video.play()')
        wait_for(lambda video=video, start=start: video.evaluate(CURRENT_TIME) > start + 0.2)
    assert cards.nth(0).locator('video').evaluate('video => video.paused')


def test_a_click_on_a_frame_seeks(open_page):
    page = open_page('/?q=a+clip&topk=1')
    video = page.locator('video')
    frame = page.locator('a.frame').nth(3)
    seconds = float(frame.get_attribute('data-seek'))
    video.evaluate('video => { video.play = async () => {}; }')  # it would move on
    frame.click()
    wait_for(lambda: is_ready(video))
    assert video.evaluate(CURRENT_TIME) == pytest.approx(seconds, abs=0.01)
    wait_for(lambda: page.locator('.frame.now').first.get_attribute('data-seek') == str(seconds))
    page.locator('.overview').click()  # in the middle
    wait_for(lambda: is_ready(video))
    assert video.evaluate(CURRENT_TIME) == pytest.approx(SECONDS / 2, abs=0.05)
    assert page.locator('.frame img').first.evaluate('image => image.naturalWidth') > 0


def test_everything_is_reached_by_the_keyboard(open_page):
    page = open_page('/?q=a+clip&topk=2')
    page.locator('body').click(position=dict(x=1, y=1))
    reached = []
    for _ in range(40):
        page.keyboard.press('Tab')
        focus = page.evaluate(
            '(() => { const e = document.activeElement; return [e.tagName, e.className,'
            ' getComputedStyle(e).outlineStyle, e.name || e.type || e.textContent.trim()]; })()'
        )
        if focus[0] == 'BODY':  # through the whole page
            break
        reached.append(focus)
    assert [item for item in reached if item[2] == 'none'] == []
    names = [name for *_, name in reached]
    assert {'q', 'file', 'More like this', 'Download'} <= set(names)
    assert [kind for _, kind, *_ in reached].count('frame best') == 2  # one stop for each timeline
    assert focus[0] == 'BODY'
    best = page.locator('a.frame.best').first
    best.focus()
    for key, number in (('Home', 0), ('ArrowRight', 1), ('ArrowLeft', 0), ('End', 5)):
        page.keyboard.press(key)
        timeline = page.locator('.timeline').first
        assert timeline.locator('a.frame').nth(number).evaluate('e => e === document.activeElement')
    page.keyboard.press('Enter')
    wait_for(lambda: page.locator('video').first.evaluate(CURRENT_TIME) > 1)


def test_upload(open_page, encoded, tmp_path):
    clip = tmp_path / 'my clip.mp4'
    clip.write_bytes(encoded['4.mp4'][0])
    page = open_page('/?q=a+clip&topk=3')
    page.locator('#file').set_input_files(clip)
    page.wait_for_url('**/?*upload=*')
    assert page.locator('h1').inner_text() == 'like my clip.mp4'
    assert page.locator('li').count() == 3  # the other fields stay
    for content, message in ((b'no video', 'cannot be read'), (bytes(200_000), 'is too large')):
        clip.write_bytes(content)
        page.locator('#file').set_input_files(clip)
        playwright.expect(page.locator('#status')).to_contain_text(message)


def test_more_like_this(open_page):
    page = open_page('/?q=a+clip&topk=2')
    name = page.locator('h2').first.inner_text()
    page.get_by_role('link', name='More like this').first.click()
    page.wait_for_url('**/?like=*')
    assert page.locator('h1').inner_text() == f'like {name}'


def test_a_video_deleted_while_the_page_is_open(open_page, project):
    page = open_page()
    for path in project.videos.iterdir():
        path.rename(path.with_suffix('.away'))
    page.get_by_label('Search the videos').fill('a clip')
    page.keyboard.press('Enter')
    page.wait_for_url('**/?*q=*')
    assert page.get_by_text('The file is missing').count() == 6
    assert page.locator('video').count() == 0
    for path in project.videos.iterdir():
        path.rename(path.with_suffix('.mp4'))
    # one is deleted between the page and the first request of its player
    last = project.videos / '0.mp4'
    page.route('**/video/*', lambda route: (last.unlink(missing_ok=True), route.continue_()))
    page.reload()
    card = page.locator('li', has=page.get_by_role('heading', name='0.mp4'))
    playwright.expect(card.locator('.note')).to_contain_text('The file is missing')


def test_a_format_that_the_browser_does_not_play(open_page, project):
    path = project.videos / '0.mp4'
    noise = np.random.default_rng(0).integers(0, 255, (48, 6, 8, 3), np.uint8)
    path.write_bytes(encode_mp4(noise.repeat(16, 1).repeat(16, 2), fps=12))  # Motion JPEG
    project.add('0.mp4', source='0.mp4')
    page = open_page('/?q=a+clip')
    card = page.locator('li', has=page.get_by_role('heading', name='0.mp4'))
    card.scroll_into_view_if_needed()
    playwright.expect(card.locator('.note')).to_contain_text('shown converted, without sound')
    video = card.locator('video')
    wait_for(lambda: video.evaluate('video => video.videoWidth') == 128)
    assert video.evaluate('video => video.duration') == pytest.approx(1.5, abs=0.1)
    card.locator('summary').click()
    frame = card.locator('details a.frame').nth(2)
    start = float(card.locator('details .timeline').get_attribute('data-start'))
    frame.click()  # shows the clip of the other moment
    seconds = float(frame.get_attribute('data-seek')) - start
    wait_for(lambda: video.evaluate(CURRENT_TIME) >= seconds)


def test_hostile_input(open_page, project):
    project.add('<img src=x onerror=alert(1)>.mp4', source='0.mp4')
    page = open_page('/?q=%3Cscript%3Ealert(1)%3C/script%3E+clip')
    assert page.locator('h1').inner_text() == '<script>alert(1)</script> clip'
    assert page.locator('li').count() == 7
    assert page.get_by_text('<img src=x onerror=alert(1)>.mp4').count() == 1
    page.get_by_label('Search the videos').fill('!!!')
    page.keyboard.press('Enter')
    playwright.expect(page.get_by_role('alert')).to_contain_text("'!!!' has no word")


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_on_a_phone(open_page, scheme):
    size = dict(width=360, height=740)
    page = open_page('/?q=a+clip', viewport=size, color_scheme=scheme, has_touch=True)
    assert page.evaluate('document.documentElement.scrollWidth') == 360
    ink, paper = page.evaluate(
        "['color', 'backgroundColor'].map(key => getComputedStyle(document.body)[key])"
    )
    brightness = [sum(map(int, color[4:-1].split(','))) for color in (ink, paper)]
    assert (brightness[0] > brightness[1]) == (scheme == 'dark')
    page.locator('.timeline').first.evaluate('timeline => { timeline.scrollLeft = 0; }')
    frame = page.locator('a.frame').first
    frame.tap()
    wait_for(lambda: page.locator('.frame.now').count())
