"""Find weights on this machine, or download them: a path, a URL, or a name of OpenAI's CLIPs."""

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import torch
from mmengine.dist import barrier, get_local_rank

__all__ = ['CLIP_NAMES', 'fetch', 'is_url']

_SERVER = 'https://openaipublic.azureedge.net/clip/models'
# file and SHA-256, which is part of its URL (https://github.com/openai/CLIP, clip/clip.py)
_OPENAI = {
    'ViT-B/32': (
        'ViT-B-32.pt',
        '40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af',
    ),
    'ViT-B/16': (
        'ViT-B-16.pt',
        '5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f',
    ),
    'ViT-L/14': (
        'ViT-L-14.pt',
        'b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836',
    ),
    'ViT-L/14@336px': (
        'ViT-L-14-336px.pt',
        '3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02',
    ),
}
CLIP_NAMES = tuple(_OPENAI)
BLOCK_BYTES = 1 << 20
CLIP_CACHE = Path('~/.cache/clip')  # shared with OpenAI's own package and open_clip


def is_url(checkpoint: str | Path) -> bool:
    """Tell whether a checkpoint is given by a URL."""
    return re.match(r'\w{2,}://', str(checkpoint)) is not None


def fetch(checkpoint: str | Path, *, cache_dir: str | Path | None = None) -> Path:
    """Return the path of a weight file or folder, downloading it first if necessary.

    In a distributed run one process of each machine downloads, and the others wait.

    Args:
        checkpoint: A file or folder, an ``http(s)`` URL, or one of ``CLIP_NAMES``.
        cache_dir: Folder for downloads; by default ``~/.cache/clip`` for names, as in OpenAI's own
            package, and torch's hub folder for URLs.

    Raises:
        FileNotFoundError: If it does not exist or the download fails; the message says which file
            to put where.
        ValueError: If the file of a name does not have OpenAI's SHA-256.
    """
    name = str(checkpoint)
    if name in _OPENAI:
        file, digest = _OPENAI[name]
        path = Path(cache_dir or CLIP_CACHE).expanduser() / file
        _download(f'{_SERVER}/{digest}/{file}', path, digest)
        if (found := _sha256(path)) != digest:
            raise ValueError(
                f"{path} has SHA-256 {found}, OpenAI's file has {digest}: delete it to download "
                'it again'
            )
        return path
    if name.startswith(('http://', 'https://')):
        folder = Path(cache_dir or Path(torch.hub.get_dir()) / 'checkpoints').expanduser()
        # many projects use the same file name, such as pytorch_model.bin
        folder /= hashlib.sha256(name.encode()).hexdigest()[:8]
        path = folder / (Path(unquote(urlsplit(name).path)).name or 'weights')
        _download(name, path)
        return path
    path = Path(name).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f'checkpoint {path} does not exist; a name would be one of {", ".join(CLIP_NAMES)}'
        )
    return path


def _download(url: str, path: Path, digest: str | None = None) -> None:
    """Download a file in the first process of each machine, unless it exists."""
    try:
        if get_local_rank() == 0 and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digest)
    except (OSError, RuntimeError, ValueError) as error:
        raise FileNotFoundError(
            f'{url} cannot be downloaded ({type(error).__name__}: {error}); put that file at {path}'
        ) from error
    finally:
        barrier()  # also after an error, or the other processes would wait for ever
    if not path.is_file():
        raise FileNotFoundError(f'{url} was not downloaded; put that file at {path}')


def _sha256(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(BLOCK_BYTES):
            sha256.update(block)
    return sha256.hexdigest()
