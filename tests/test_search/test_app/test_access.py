"""Who may use the app."""

import base64

import pytest

PATHS = ('/', '/search.json?q=a', '/static/app.js', '/video/x', '/nothing')


def basic(text: str) -> dict[str, str]:
    return dict(Authorization='Basic ' + base64.b64encode(text.encode()).decode())


@pytest.mark.parametrize('path', PATHS)
def test_a_password_is_asked_for_everywhere(make_client, path):
    client = make_client(host='0.0.0.0', password='pässword')
    answer = client.get(path)
    assert answer.status_code == 401
    assert answer.headers['www-authenticate'].startswith('Basic')
    for wrong in ('me:', 'me:wrong', 'pässword', 'me:pässwor', 'me:pässword '):
        assert client.get(path, headers=basic(wrong)).status_code == 401
    for garbage in ('Basic', 'Basic !', 'Basic \xff', 'Bearer x', f'Basic {"=" * 9}'):
        headers = [(b'authorization', garbage.encode('latin-1'))]
        assert client.get(path, headers=headers).status_code == 401
    assert client.get(path, headers=basic('me:pässword')).status_code != 401
    assert client.post('/upload', content=b'x').status_code == 401


def test_a_password_with_a_colon(make_client):
    client = make_client(password='a:b')
    assert client.get('/', headers=basic('me:a:b')).status_code == 200


@pytest.mark.parametrize(
    ('host', 'status'),
    [
        ('localhost:8000', 200),
        ('127.0.0.1', 200),
        ('[::1]:8000', 200),
        ('evil.example:8000', 421),
        ('localhost.evil.example', 421),
        ('[', 421),
        ('', 421),
    ],
)
def test_names_of_other_computers_are_refused(client, host, status):
    assert client.get('/', headers=dict(Host=host)).status_code == status


def test_other_sites_cannot_upload(client):
    for origin in ('http://evil.example', 'null', 'http://127.0.0.1:9000'):
        answer = client.post('/upload', headers=dict(Origin=origin), content=b'x')
        assert answer.status_code == 403
    own = client.post('/upload', headers=dict(Origin='http://127.0.0.1:8000'), content=b'x')
    assert own.status_code == 422


@pytest.mark.parametrize('path', PATHS)
def test_all_answers_have_the_headers(client, path):
    headers = client.get(path).headers
    assert "default-src 'none'" in headers['content-security-policy']
    assert 'unsafe' not in headers['content-security-policy']
    assert headers['x-content-type-options'] == 'nosniff'


def test_only_reading_is_allowed(client):
    for method in ('PUT', 'DELETE', 'PATCH'):
        assert client.request(method, '/').status_code == 405
