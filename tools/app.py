"""Search an index of videos in a browser."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from ts2net_mm.utils.cli import (
    WrongArgumentError,
    is_missing_weights,
    positive_int,
    require_packages,
    require_path,
    run,
)

PASSWORD_VARIABLE = 'TS2NET_MM_PASSWORD'
MAX_PIXELS = 2**27  # of an uploaded picture, which takes 400 MB
GRACE = 3  # seconds to end what is being sent when the app stops

EPILOG = f"""\
The page searches by a sentence, or by a video or picture. Each hit is played from
its best moment, with the similarity of each frame beside the player.

Only this computer reaches the app, unless --host says otherwise. Then it asks for a
password, with any user name: the first line of --password-file, or the environment
variable {PASSWORD_VARIABLE}. Passwords and videos are not encrypted on the way: beyond
a trusted network, put the app behind a server with HTTPS.

Only videos of the index are shown, and only as they were when they were encoded.
Videos that are encoded while the app runs are found at once.

An index in Milvus is a file of Milvus Lite (gallery.db), which no other process may
open meanwhile, or a server (http://host:19530, with the password in MILVUS_TOKEN).
Where others can write to that server, name the folders to show with --folder.

exit codes: 1 error, 2 wrong arguments, 130 stopped with Ctrl-C, 143 terminated

example:
  python tools/app.py configs/clip_zero-shot.py ViT-B/32 my_index
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file of the model')
    parser.add_argument('checkpoint', help='weights of that model, in any format')
    parser.add_argument(
        'index',
        help='folder of an index of tools/encode.py, or its address in Milvus: gallery.db, '
        'http://host:19530',
    )
    parser.add_argument('--host', default='127.0.0.1', help='address (default: 127.0.0.1)')
    parser.add_argument(
        '--port', type=_port, default=8000, help='port; 0 for a free one (default: 8000)'
    )
    parser.add_argument('--password-file', metavar='FILE', help='file with the password')
    parser.add_argument(
        '--folder',
        action='append',
        default=[],
        help='folder whose videos may be shown, also through links; may be repeated '
        '(default: the folder in which all videos of the index lie)',
    )
    parser.add_argument(
        '--max-upload', type=positive_int, default=500, help='largest upload in MB (default: 500)'
    )
    parser.add_argument(
        '--device', help="such as 'cpu' or 'cuda:1' (default: a GPU if there is one)"
    )
    args = parser.parse_args(argv)
    try:
        args.password = read_password(args.password_file)
        check_host(args.host, args.password)
    except WrongArgumentError as error:
        parser.error(str(error))
    return args


def read_password(path: str | None) -> str | None:
    """Return the password of a file or the environment; None if there is none."""
    if path is None:
        return os.environ.get(PASSWORD_VARIABLE) or None
    try:
        lines = Path(path).expanduser().read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongArgumentError(f'password file {path} cannot be read: {error}') from error
    if not lines or not lines[0].strip():
        raise WrongArgumentError(f'password file {path} has no password in its first line')
    return lines[0].strip()


def check_host(host: str, password: str | None) -> None:
    """Raise an error if others could reach the app without a password."""
    if not is_local(host) and password is None:
        raise WrongArgumentError(
            f'others can reach --host {host}: give a password with --password-file or in '
            f'{PASSWORD_VARIABLE}'
        )


def is_local(host: str) -> bool:
    """Tell whether only this computer reaches a host."""
    try:
        return host == 'localhost' or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C, and return the exit code."""
    return run(serve, parse_args(argv), when_stopped='the app has stopped')


def serve(args: argparse.Namespace) -> None:
    """Load the model and serve the app."""
    check_arguments(args)
    os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(MAX_PIXELS))  # read when it is imported
    import uvicorn

    with contextlib.redirect_stdout(sys.stderr):
        from ts2net_mm.apis import RetrievalInferencer
        from ts2net_mm.search.app import create_app

        inferencer = RetrievalInferencer(args.config, args.checkpoint, device=args.device)
    app = create_app(
        inferencer,
        args.index,
        host=args.host,
        password=args.password,
        folders=args.folder,
        max_upload=args.max_upload * 2**20,
    )
    with listen(args.host, args.port) as listener:
        host = f'[{args.host}]' if ':' in args.host else args.host
        print(f'http://{host}:{listener.getsockname()[1]}/  (Ctrl-C stops it)', flush=True)
        config = uvicorn.Config(app, log_level='warning', timeout_graceful_shutdown=GRACE)
        uvicorn.Server(config).run(sockets=[listener])


def check_arguments(args: argparse.Namespace) -> None:
    """Raise an error for what is missing, before the imports that take seconds."""
    require_packages('the app', ('fastapi', 'uvicorn'), 'app')
    require_path('config', args.config)
    from ts2net_mm.search.command import is_index
    from ts2net_mm.search.milvus_client import is_milvus_address, require_milvus, split_address

    place = args.index
    if is_milvus_address(args.index):
        place, _ = split_address(args.index)
        require_milvus(place)
    if '://' not in place:
        require_path('index', place)
    if not is_index(args.index):
        raise FileNotFoundError(f'{args.index} is no index of tools/encode.py')
    for folder in args.folder:
        require_path('folder', folder)
    if is_missing_weights(args.checkpoint):
        raise FileNotFoundError(
            f'checkpoint {args.checkpoint} does not exist and is not a name like ViT-B/32'
        )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that accepts connections."""
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(f'{host} port {port} cannot be used: {error.strerror}') from error


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f'{text!r} is not a port, 0 to 65535')
    return int(text)


if __name__ == '__main__':
    sys.exit(main())
