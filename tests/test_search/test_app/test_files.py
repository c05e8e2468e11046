"""Which files the app shows: those of the index, as they were encoded, and no others."""

import io
import os

import av
import numpy as np
import pytest

from ts2net_mm.search.app.library import key_of

SENTENCE = dict(q='a clip', topk=10)


@pytest.fixture
def address(project) -> str:
    return f'/video/{key_of(str(project.videos / "1.mp4"))}'


def test_ranges_of_a_file(client, project, address):
    content = (project.videos / '1.mp4').read_bytes()
    whole = client.get(address)
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers['content-type'] == 'video/mp4'
    part = client.get(address, headers=dict(Range='bytes=10-99'))
    assert (part.status_code, part.content) == (206, content[10:100])
    assert part.headers['content-range'] == f'bytes 10-99/{len(content)}'
    assert client.get(address, headers=dict(Range=f'bytes={len(content)}-')).status_code == 416
    assert client.head(address).headers['content-length'] == str(len(content))


@pytest.mark.parametrize(
    'path',
    [
        '/video/..%2f..%2findex%2findex.json',
        '/video/../../index/index.json',
        '/video/%2e%2e/%2e%2e/etc/passwd',
        '/video//etc/passwd',
        '/video/' + '0' * 32,
        '/video/' + '0' * 31 + '%00',
        '/video/1.mp4',
        '/static/../server.py',
        '/static/..%2fserver.py',
        '/static/%2e%2e/server.py',
    ],
)
def test_other_paths_are_refused(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert 'import' not in answer.text


def test_a_deleted_video_has_a_card_that_says_so(client, project, address):
    (project.videos / '1.mp4').unlink()
    page = client.get('/', params=SENTENCE)
    assert page.status_code == 200
    assert page.text.count('<li>') == 6
    assert page.text.count('The file is missing') == 1
    assert address not in page.text
    answer = client.get(address)
    assert answer.status_code == 404
    assert 'The file is missing' in answer.json()['detail']


def test_frames_of_a_deleted_video(client, project, address):
    frames = address.replace('video', 'frames') + '/0.jpg?t=0'
    assert client.get(frames).status_code == 200
    (project.videos / '1.mp4').unlink()
    assert client.get(frames).status_code == 404


def test_a_changed_file_is_not_shown(client, project, address):
    with (project.videos / '1.mp4').open('ab') as file:
        file.write(b'more')
    assert 'has changed since it was encoded' in client.get(address).json()['detail']


def test_links_out_of_the_folder_are_refused(client, make_client, project, encoded, tmp_path):
    outside = tmp_path / 'outside' / 'private.mp4'
    outside.parent.mkdir()
    outside.write_bytes(encoded['0.mp4'][0])
    for name, target in (('link.mp4', outside), ('inner.mp4', project.videos / '1.mp4')):
        (project.videos / name).symlink_to(target)
        project.add(name, source='0.mp4')
    outer, inner = (f'/video/{key_of(str(project.videos / n))}' for n in ('link.mp4', 'inner.mp4'))
    assert client.get(outer).status_code == 404
    assert 'It is a link out of the folders' in client.get('/', params=SENTENCE).text
    assert client.get(inner).status_code == 200
    permissive = make_client(folders=[project.videos, outside.parent])
    assert permissive.get(outer).status_code == 200


def test_videos_of_another_folder_that_are_added_later_are_shown(client, project, tmp_path):
    assert client.get('/', params=SENTENCE).status_code == 200
    path = project.add('../others/9.mp4', source='0.mp4')
    assert client.get(f'/video/{key_of(str(path))}').status_code == 200


def test_a_folder_or_a_pipe_in_place_of_a_video(client, project, address):
    (project.videos / '1.mp4').unlink()
    os.mkfifo(project.videos / '1.mp4')
    assert 'It is not a file' in client.get(address).json()['detail']
    (project.videos / '1.mp4').unlink()
    (project.videos / '1.mp4').mkdir()
    assert client.get('/', params=SENTENCE).status_code == 200


def test_a_video_with_the_ending_of_a_page_does_not_open_as_one(client, project):
    path = project.add('page.html', source='0.mp4')
    answer = client.get(f'/video/{key_of(str(path))}')
    assert answer.headers['content-type'] == 'application/octet-stream'
    assert answer.headers['x-content-type-options'] == 'nosniff'


def test_names_that_are_hard_to_show(client, project):
    name = os.fsdecode(b'<b>\xff "&\n.mp4')
    path = project.add(name, source='0.mp4')
    page = client.get('/', params=SENTENCE).text
    assert '&lt;b&gt;\\udcff &#34;&amp;\\n.mp4' in page
    assert client.get(f'/video/{key_of(str(path))}').status_code == 200


@pytest.mark.parametrize(
    ('frames', 'status'),
    [
        ('0.jpg?t=x', 422),
        ('0.jpg?t=nan', 422),
        ('0.jpg?t=-1', 422),
        ('0.jpg?t=1e99', 422),
        ('7.jpg?t=0', 404),
        ('-1.jpg?t=0', 404),
        ('0.jpg', 422),
    ],
)
def test_wrong_frames(client, address, frames, status):
    assert client.get(f'{address.replace("video", "frames")}/{frames}').status_code == status


def test_a_clip_is_a_part_of_the_video(client, project, address, monkeypatch):
    monkeypatch.setattr('ts2net_mm.search.app.pictures.BYTES_AT_A_TIME', 5 * 160 * 128 * 3)
    answer = client.get(f'{address.replace("video", "clips")}.mp4?t=1.5,3')
    assert answer.headers['content-type'] == 'video/mp4'
    clip, video = (
        [frame.to_ndarray(format='rgb24').astype(int) for frame in av.open(source).decode(video=0)]
        for source in (io.BytesIO(answer.content), str(project.videos / '1.mp4'))
    )
    assert len(clip) == 18  # 1.5 seconds at 12 a second, of a video of 10 a second
    for number, frame in enumerate(clip):
        differences = [np.abs(frame - other).mean() for other in video]
        assert int(np.argmin(differences)) == int(10 * (1.5 + number / 12) + 1e-6)


@pytest.mark.parametrize('times', ['1', '2,1', '1,1', '1,2,3', 'x,2', '1,nan'])
def test_wrong_clips(client, address, times):
    assert client.get(f'{address.replace("video", "clips")}.mp4?t={times}').status_code == 422


def test_frames_of_a_damaged_file(client, project, address):
    path = project.videos / '1.mp4'
    status = path.stat()
    path.write_bytes(b'x' * status.st_size)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    answer = client.get(f'{address.replace("video", "frames")}/0.jpg?t=0')
    assert answer.status_code == 404
    assert 'The frames cannot be decoded: it is damaged' in answer.json()['detail']
