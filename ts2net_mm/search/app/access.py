"""Who may use the app: password, host names, the origin of requests; and headers of all answers."""

from __future__ import annotations

import base64
import binascii
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ['HEADERS', 'Gate']

LOCAL_NAMES = ('localhost', '127.0.0.1', '::1')
HEADERS = {
    # styles, scripts, pictures and videos of the app itself, and nothing from elsewhere
    'Content-Security-Policy': (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',  # searches stand in addresses
    'Cross-Origin-Resource-Policy': 'same-origin',
}


class Gate:
    """Refuses requests that may not enter, and adds headers to all answers.

    Without a password only the names of this computer are accepted as ``Host``: a web page of
    another site could otherwise read the app through a name of its own that leads here.

    Args:
        app: The app behind the gate.
        password: Asked for with HTTP basic authentication, with any user name; None for none.
        host: The name or address on which the app listens.
    """

    def __init__(self, app: ASGIApp, *, password: str | None = None, host: str) -> None:
        self.app = app
        self.password = password
        self.hosts = {host, *LOCAL_NAMES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope['type'] != 'http':
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message['type'] == 'http.response.start':
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refuse(scope) or self.app
        await answer(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self.password is not None:
            if not _has_password(headers.get('authorization', ''), self.password):
                return PlainTextResponse(
                    'A password is needed.',
                    status_code=401,
                    headers={'WWW-Authenticate': 'Basic realm="search", charset="UTF-8"'},
                )
        elif _host_name(f'//{headers.get("host", "")}') not in self.hosts:
            return PlainTextResponse('This host name is not served.', status_code=421)
        origin = headers.get('origin')
        is_other = origin is not None and origin.partition('//')[2] != headers.get('host')
        if is_other and scope['method'] not in ('GET', 'HEAD'):
            return PlainTextResponse('Requests of other sites are refused.', status_code=403)
        return None


def _has_password(authorization: str, password: str) -> bool:
    scheme, _, credentials = authorization.partition(' ')
    if scheme.lower() != 'basic':
        return False
    try:
        found = base64.b64decode(credentials, validate=True).partition(b':')[2]
    except (binascii.Error, ValueError):
        return False
    return secrets.compare_digest(found, password.encode())


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # such as an open bracket
        return None
