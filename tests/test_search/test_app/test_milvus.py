"""The app on an index in Milvus Lite, against the same index in a folder."""

import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

pytest.importorskip('pymilvus', reason='pymilvus is not installed')
pytest.importorskip('milvus_lite', reason='milvus-lite is not installed')

from ts2net_mm.search import MilvusError, MilvusStore, copy_index
from ts2net_mm.search.app import create_app
from ts2net_mm.search.app.opening import make_opener
from ts2net_mm.search.app.video_library import key_of


@pytest.fixture(scope='module')
def both(model, new_project, encoded, tmp_path_factory):
    """The videos, clients of the index in a folder and in Milvus, and the latter's store."""
    folder = tmp_path_factory.mktemp('both')
    project = new_project(folder)
    (folder / 'private.mp4').write_bytes(encoded['0.mp4'][0])
    (project.videos / 'link.mp4').symlink_to(folder / 'private.mp4')
    project.add('link.mp4', source='0.mp4')
    copy_index(project.index, folder / 'gallery.db')
    with MilvusStore(folder / 'gallery.db') as store:
        apps = [create_app(model, place) for place in (project.index, folder / 'gallery.db')]
        clients = [TestClient(app, base_url='http://127.0.0.1:8000') for app in apps]
        with clients[1]:
            yield project, *clients, store


def rounded(found: dict) -> list:
    return [
        (hit['path'], round(hit['score'], 5), [m['best_seconds'] for m in hit['moments']])
        for hit in found['hits']
    ]


@pytest.mark.parametrize(
    'query',
    [
        dict(q='a clip', topk=4),
        dict(q='a clip', minus='number 3'),
        dict(q='a clip', shortest='9'),
        dict(q='a clip', folder='.'),
        dict(like='3.mp4', at=1.6),
    ],
)
def test_searches_find_what_a_folder_finds(both, query):
    project, expected, client, _ = both
    if 'like' in query:
        query = query | dict(like=key_of(str(project.videos / query['like'])))
    one, other = (c.get('/search.json', params=query).json() for c in (expected, client))
    assert rounded(other) == rounded(one)
    assert other['exact'] is True
    pages = [c.get('/', params=query) for c in (expected, client)]
    assert pages[1].status_code == 200
    assert ('<svg class="overview"' in pages[1].text) == bool(one['hits'])
    texts = [re.sub(r'\d\.\d{3,}', '', page.text) for page in pages]
    assert texts[1] == texts[0]


def test_the_number_of_videos(both):
    assert '7 videos, 35 windows' in both[2].get('/').text


def test_files_are_served_as_from_a_folder(both):
    project, _, client, _ = both
    path = project.videos / '1.mp4'
    address = f'/video/{key_of(str(path))}'
    assert client.get(address).content == path.read_bytes()
    assert client.get(f'{address.replace("video", "frames")}/0.jpg?t=0').status_code == 200
    link = client.get(f'/video/{key_of(str(project.videos / "link.mp4"))}')
    assert (link.status_code, 'It is a link out of the folders' in link.text) == (404, True)
    for key in ('0' * 32, '..%2f..%2fprivate.mp4', '#index'):
        assert client.get(f'/video/{key}').status_code == 404
    content = path.read_bytes()
    with path.open('ab') as file:
        file.write(b'more')
    assert 'has changed since it was encoded' in client.get(address).json()['detail']
    path.unlink()
    assert 'The file is missing' in client.get(address).json()['detail']
    assert 'The file is missing' in client.get('/', params=dict(q='a clip')).text
    path.write_bytes(content)


def test_a_video_that_is_removed_during_a_search_has_no_card(both, monkeypatch):
    _, _, client, store = both
    search = 'ts2net_mm.search.milvus_view.MilvusView.search'
    index = {}

    def remove_the_best(view, *args, **options):
        results = view._index.search(*args, **options)
        path = results[0].hits[0].path
        index['video'] = store.read(path)
        with store.writer() as writer:
            writer.remove([path])
        return results

    with monkeypatch.context() as patch:
        patch.setattr(search, remove_the_best)
        page = client.get('/', params=dict(q='a clip', topk=3))
    with store.writer() as writer:
        writer.add([index['video']])
    assert (page.status_code, page.text.count('<li>')) == (200, 2)


@pytest.mark.parametrize('path', ['/', '/?q=a+clip', '/video/{key}', '/search.json?like={key}'])
def test_a_database_that_fails_is_explained(both, monkeypatch, path):
    project, _, client, _ = both
    path = path.format(key=key_of(str(project.videos / '1.mp4')))

    def fail(*_):
        raise MilvusError('the server is gone')

    for name in ('count', 'search', 'find_key'):
        monkeypatch.setattr(f'ts2net_mm.search.milvus_view.MilvusView.{name}', fail)
    answer = client.get(path)
    assert answer.status_code == 503
    assert 'The index cannot be read: the server is gone' in answer.text


def test_an_index_is_opened_again(both, model, tmp_path):
    """After its connection was lost, and when another model has made it again."""
    store = both[3]
    address = f'{store.address}#again'
    MilvusStore.create(address, store.description).close()
    opener = make_opener(address, model.fingerprint)
    opener._index.close()
    assert opener.view().count() == (0, 0)
    other = replace(store.description, fingerprint='another')
    for name in ('again_videos', 'again_windows'):
        store.connection('drop_collection', name)
    with pytest.raises(FileNotFoundError, match='holds no index'):
        opener.view()
    MilvusStore.create(address, other).close()
    for open_it in (opener.view, lambda: make_opener(address, model.fingerprint)):
        with pytest.raises(ValueError, match='was made with another model or pipeline .tiny.'):
            open_it()
    opener.close()


def test_a_missing_database(model, tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.db does not exist'):
        create_app(model, tmp_path / 'nothing.db')
