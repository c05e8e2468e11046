"""What the app finds and shows."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import cv2
import numpy as np
import pytest

from ts2net_mm.search import VideoIndex
from ts2net_mm.search.app.library import key_of

SECONDS = 4  # of each video


def names_on(page: str) -> list[str]:
    return re.findall(r'<h2 class="name">(.*?)</h2>', page)


def hits(client, **query) -> list[dict]:
    answer = client.get('/search.json', params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()['hits']


def test_page_and_json_agree_with_the_index(client, project, model):
    query = model.encode_texts(['a clip'])
    expected = VideoIndex(project.index).search(query.numpy(), topk=4)[0]
    found = hits(client, q='a clip', topk=4)
    assert [hit['path'] for hit in found] == [hit.path for hit in expected.hits]
    assert [hit['score'] for hit in found] == [hit.score for hit in expected.hits]
    assert len(found[0]['moments']) >= 2
    page = client.get('/', params=dict(q='a clip', topk=4))
    assert names_on(page.text) == [hit.path.rpartition('/')[2] for hit in expected.hits]
    assert 'value="a clip"' in page.text


def test_a_card_plays_from_the_best_moment_and_shows_its_frames(client, project):
    hit = hits(client, q='a clip', topk=1)[0]
    moment = hit['moments'][0]
    page = client.get('/', params=dict(q='a clip', topk=1)).text
    assert f'src="/video/{key_of(hit["path"])}#t={moment["start"]:.3f}"' in page
    for seconds, score in zip(moment['frame_seconds'], moment['frame_scores'], strict=True):
        assert f'data-seek="{seconds}"' in page
        assert f'similarity {score:.3f}' in page
    pictures = [path.replace('&amp;', '&') for path in re.findall(r'<img [^>]*src="(.*?)"', page)]
    assert len(pictures) == sum(len(moment['frame_seconds']) for moment in hit['moments'])
    for picture in pictures:
        answer = client.get(picture)
        assert answer.headers['content-type'] == 'image/jpeg'
        assert answer.content[:2] == b'\xff\xd8'


def test_the_overview_shows_the_best_frame_of_each_part(client, project, model, encoded):
    query = model.encode_texts(['a clip'])[0].double().numpy()
    query /= np.linalg.norm(query)
    page = client.get('/', params=dict(q='a clip')).text
    found = hits(client, q='a clip')
    scores = [s for hit in found for m in hit['moments'] for s in m['frame_scores']]
    for hit, card in zip(found, page.split('<li>')[1:], strict=True):
        windows = encoded[hit['path'].rpartition('/')[2]][1].windows
        frames = windows.features[windows.frame_mask].astype(np.float64)
        cosines = frames @ query / np.linalg.norm(frames, axis=1)
        seconds = windows.frame_seconds[windows.frame_mask]
        overview = re.search(r'<svg class="overview".*?</svg>', card, re.S)[0]
        bars = re.findall(r'<rect x="(.*?)" width="(.*?)" y=".*?" height="(.*?)"', overview)
        assert len(bars) > 5
        for x, width, height in np.array(bars, float):
            inside = (seconds >= x / 100 * SECONDS - 1e-4) & (
                seconds < (x + width) / 100 * SECONDS - 1e-4
            )
            share = (cosines[inside].max() - min(scores)) / (max(scores) - min(scores))
            assert height == pytest.approx(100 * np.clip(share, 0, 1), abs=0.51)


def test_the_frames_are_those_of_their_times(client, project):
    path = project.videos / '0.mp4'
    address = f'/frames/{key_of(str(path))}/{{}}.jpg?t=0.0,3.9,1.25'
    pictures = [
        cv2.imdecode(np.frombuffer(client.get(address.format(n)).content, np.uint8), 1)
        for n in range(3)
    ]
    video = cv2.VideoCapture(str(path))
    frames = [video.read()[1] for _ in range(40)]
    for picture, number in zip(pictures, (0, 39, 12), strict=True):
        differences = [np.abs(picture.astype(int) - frame).mean() for frame in frames]
        assert int(np.argmin(differences)) == number


@pytest.mark.parametrize(
    ('filters', 'names'),
    [
        (dict(folder='new'), ['7.mp4', '8.mp4']),
        (dict(folder='new/deep/'), ['8.mp4']),
        (dict(folder='ne'), []),
        (dict(folder='../videos/new/deep'), ['8.mp4']),
        (dict(since='2001-02-03', until='2001-02-03'), ['7.mp4']),
        (dict(until='2001-02-02'), []),
        (dict(shortest='4.5', longest='9'), []),
    ],
)
def test_filters(client, project, filters, names):
    for name, day in (('new/7.mp4', 3), ('new/deep/8.mp4', 4)):
        (project.videos / name).parent.mkdir(exist_ok=True)
        (project.videos / name).write_bytes(project.encoded['0.mp4'][0])
        changed = datetime(2001, 2, day, 23, 59).timestamp()
        os.utime(project.videos / name, (changed, changed))
        project.add(name, source='0.mp4')
    found = hits(client, q='a clip', **filters)
    assert sorted(hit['path'].rpartition('/')[2] for hit in found) == names
    page = client.get('/', params=dict(q='a clip', **filters)).text
    assert ('No video fits these filters' in page) == (not names)


def test_more_like_this_searches_by_the_mean_of_a_window(client, project, encoded):
    key = key_of(str(project.videos / '3.mp4'))
    windows = encoded['3.mp4'][1].windows
    for start, features, mask in zip(
        windows.starts, windows.features, windows.frame_mask, strict=True
    ):
        frames = features[mask] / np.linalg.norm(features[mask], axis=1, keepdims=True)
        expected = VideoIndex(project.index).search(frames.mean(axis=0)[None], topk=3)[0]
        found = hits(client, like=key, at=start, topk=3)
        assert [hit['path'] for hit in found] == [hit.path for hit in expected.hits]
        assert found[0]['score'] == pytest.approx(expected.hits[0].score, abs=1e-6)
    assert 'like 3.mp4' in client.get('/', params=dict(like=key)).text


def test_a_sentence_minus_another(client, project, model):
    wanted, other = model.encode_texts(['a clip', 'number 3']).double().numpy()
    query = wanted / np.linalg.norm(wanted) - 0.5 * other / np.linalg.norm(other)
    expected = VideoIndex(project.index).search(query[None])[0]
    found = hits(client, q='a clip', minus='number 3')
    assert [hit['score'] for hit in found] == pytest.approx([h.score for h in expected.hits])
    page = client.get('/', params=dict(q='a clip', minus='number 3')).text
    assert '<h1>a clip, not number 3</h1>' in page


def test_a_similarity_without_a_bound_is_computed_by_the_model(project, make_client, encoded):
    expected = hits(make_client(), q='a clip')
    (project.index / 'index.json').unlink()
    project.score = None
    project.add('0.mp4', source='0.mp4')
    found = hits(make_client(), q='a clip')
    assert [hit['path'] for hit in found] == [hit['path'] for hit in expected]
    scores = [hit['score'] for hit in expected]
    assert [hit['score'] for hit in found] == pytest.approx(scores, abs=1e-5)


def test_videos_added_meanwhile_are_found(client, project):
    assert len(hits(client, q='a clip')) == 6
    path = project.add('new/7.mp4', source='0.mp4')
    assert str(path) in [hit['path'] for hit in hits(client, q='a clip')]


def test_many_searches_at_once_while_videos_are_added(client, project):
    recent = dict(since='2010-01-01')
    sentences = [f'clip number {number}' for number in range(4)]
    expected = {sentence: hits(client, q=sentence, **recent) for sentence in sentences}
    with ThreadPoolExecutor(8) as pool:
        found = [
            (sentence, pool.submit(hits, client, q=sentence, **recent))
            for sentence in 10 * sentences
        ]
        for number in range(10):
            path = project.videos / f'new/{number}.mp4'
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(project.encoded['0.mp4'][0])
            os.utime(path, (1e9, 1e9))
            project.add(f'new/{number}.mp4', source='0.mp4')
    assert all(future.result() == expected[sentence] for sentence, future in found)
    assert len(hits(client, q='a clip', topk=50)) == 16


def test_an_index_that_was_made_again_is_opened_again(client, project):
    for path in sorted(project.index.rglob('*'), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert client.get('/', params=dict(q='a clip')).status_code == 503
    project.add('2.mp4', source='2.mp4')
    assert [hit['path'][-5:] for hit in hits(client, q='a clip')] == ['2.mp4']


def test_the_index_of_another_model_is_refused(client, project, make_client):
    project.fingerprint = 'another'
    (project.index / 'index.json').unlink()
    project.add('2.mp4', source='2.mp4')
    page = client.get('/', params=dict(q='a clip'))
    assert page.status_code == 503
    assert 'was made with another model' in page.text
    with pytest.raises(ValueError, match='was made with another model or pipeline .tiny.'):
        make_client()


@pytest.mark.parametrize(
    ('query', 'message'),
    [
        (dict(q='!!!'), "the sentence '!!!' has no word"),
        (dict(q='a' * 1001), 'sentence: String should have at most 1000 characters'),
        (dict(q='a', topk='0'), 'number of hits: Input should be greater than'),
        (dict(q='a', topk='many'), 'number of hits: Input should be a valid integer'),
        (dict(q='a', since='9999-12-31'), 'since: Input should be less than'),
        (dict(q='a', longest='inf'), 'longest video: Input should be a finite number'),
        (dict(like='0' * 32), 'The index does not have this video'),
        (dict(like='../../etc/passwd'), 'The index does not have this video'),
        (dict(like='0', at='nan'), 'at: Input should be a finite number'),
        (dict(upload='unknown'), 'The uploaded file is no longer known'),
    ],
)
def test_wrong_input_is_explained(client, query, message):
    page = client.get('/', params=query)
    assert 400 <= page.status_code < 500
    assert message in page.text.replace('&#39;', "'")
    assert client.get('/search.json', params=query).status_code == page.status_code


def test_hostile_sentences_are_text(client):
    for sentence in ('<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', 'a\0b\n\u202e'):
        page = client.get('/', params=dict(q=sentence))
        assert page.status_code == 200
        assert '<script>alert' not in page.text
        assert '<img src=x' not in page.text


def test_nothing_asked_for(client):
    page = client.get('/', params=dict(q=' ', topk=''))
    assert page.status_code == 200
    assert '6 videos, 30 windows' in page.text
    assert client.get('/search.json').status_code == 422


def test_no_other_server_is_asked(client):
    page = client.get('/', params=dict(q='a clip')).text
    files = [page, *(client.get(f'/static/{name}').text for name in ('app.js', 'app.css'))]
    assert not any(re.search(r'(src|href|url|fetch)\W{1,3}(https?:)?//', file) for file in files)
    assert client.get('/docs').status_code == 404
    assert client.get('/openapi.json').status_code == 404
