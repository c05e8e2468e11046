"""Files as queries: limits, and that nothing stays."""

import asyncio

import av
import cv2
import numpy as np
import pytest
import torch

from ts2net_mm.search import VideoIndex
from ts2net_mm.search.app.uploads import MAX_AT_A_TIME, UploadError, Uploads


def upload(client, content, name='my clip.mp4'):
    return client.post('/upload', params=dict(name=name), content=content)


def test_an_uploaded_video_searches_by_the_mean_of_its_frames(
    client, project, model, encoded, uploads_folder
):
    answer = upload(client, encoded['4.mp4'][0])
    assert answer.status_code == 200, answer.text
    assert list(uploads_folder.iterdir()) == []
    address = '/?upload=' + answer.json()['token']
    page = client.get(address)
    assert 'like my clip.mp4' in page.text
    assert client.get(address).text == page.text
    (batch,) = model.encode_videos([project.videos / '4.mp4'], num_workers=1)
    frames = batch.frame_features[0][batch.frame_mask[0]]
    query = torch.nn.functional.normalize(frames, dim=-1).mean(dim=0)
    expected = VideoIndex(project.index).search(query.numpy()[None])[0]
    hits = client.get('/search.json' + address[1:]).json()['hits']
    assert [hit['path'] for hit in hits] == [hit.path for hit in expected.hits]
    scores = [hit.score for hit in expected.hits]
    assert [hit['score'] for hit in hits] == pytest.approx(scores, abs=1e-6)


def test_a_picture_searches_like_a_video_of_one_frame(client, project, model, tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    path = tmp_path / 'still.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=1)
        stream.width, stream.height, stream.pix_fmt = 120, 90, 'bgr0'
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
        container.mux(stream.encode())
    png = cv2.imencode('.png', picture[..., ::-1])[1].tobytes()
    found = []
    for content in (png, path.read_bytes()):
        token = upload(client, content, name='still.png').json()['token']
        hits = client.get('/search.json', params=dict(upload=token)).json()['hits']
        found.append([(hit['path'], round(hit['score'], 5)) for hit in hits])
    assert found[0] == found[1]


def chunks_of(content, size=1000):
    yield from (content[i : i + size] for i in range(0, len(content), size))


def test_a_large_file_is_refused(make_client, uploads_folder, encoded):
    content = encoded['0.mp4'][0]
    client = make_client(max_upload=len(content) - 1)
    for sent in (content, chunks_of(content)):  # the second does not state its size
        answer = upload(client, sent)
        assert answer.status_code == 413
        assert 'too large' in answer.json()['detail']
    assert list(uploads_folder.iterdir()) == []
    assert upload(make_client(max_upload=len(content)), chunks_of(content)).status_code == 200


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'The file is empty'),
        (b'no video\n' * 99, 'The file cannot be read'),
        (b'#EXTM3U\n#EXTINF:1,\n/etc/passwd\n', 'The file cannot be read'),
    ],
)
def test_what_is_no_video_is_refused(client, uploads_folder, content, message):
    answer = upload(client, content, name='../../x.m3u8')
    assert answer.status_code == 422
    assert message in answer.json()['detail']
    assert list(uploads_folder.iterdir()) == []


def test_hostile_names(client, encoded, uploads_folder):
    for name in ('../../../tmp/x.mp4', '<b>.mp4', 'x' * 300 + '.mp4', 'a.\0', '/etc/passwd'):
        answer = upload(client, encoded['0.mp4'][0], name=name)
        assert answer.status_code == 200
        assert '<b>' not in client.get('/', params=dict(upload=answer.json()['token'])).text
    assert list(uploads_folder.iterdir()) == []


def test_only_some_files_arrive_at_once(uploads_folder):
    async def send_many() -> list[str | UploadError]:
        uploads = Uploads(lambda path: np.ones(3), max_bytes=10)
        may_go_on = asyncio.Event()

        async def slow_chunks():
            yield b'x'
            await may_go_on.wait()

        running = [
            asyncio.create_task(uploads.receive('x', slow_chunks())) for _ in range(MAX_AT_A_TIME)
        ]
        await asyncio.sleep(0.1)
        with pytest.raises(UploadError, match='Too many files'):
            await uploads.receive('x', slow_chunks())
        may_go_on.set()
        return [uploads.get(token) for token in await asyncio.gather(*running)]

    assert None not in asyncio.run(send_many())
    assert list(uploads_folder.iterdir()) == []


def test_a_slow_file_is_given_up(uploads_folder, monkeypatch):
    monkeypatch.setattr('ts2net_mm.search.app.uploads.MAX_SECONDS', 0.1)

    async def slow_chunks():
        yield b'x'
        await asyncio.sleep(10)

    with pytest.raises(UploadError, match='too long'):
        asyncio.run(Uploads(lambda path: np.ones(3), 10).receive('x', slow_chunks()))
    assert list(uploads_folder.iterdir()) == []
