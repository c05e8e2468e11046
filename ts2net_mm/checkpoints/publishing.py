"""Leave of a training checkpoint what others need."""

import hashlib
from pathlib import Path

import torch

from ..utils.files import move_into_place, temporary_beside
from .conversion import Conversion
from .reading import Checkpoint, load_content
from .settings import KEY

__all__ = ['publish']

KEPT_META = (KEY, 'cfg', 'dataset_meta', 'epoch', 'iter', 'mmengine_version', 'seed')


def publish(src: str | Path, dst: str | Path) -> Path:
    """Write the weights of a checkpoint under a name that ends in the file's hash.

    Args:
        src: Checkpoint of MMEngine.
        dst: File to write; ``-`` and eight digits of its SHA-256 come before its ending.

    Returns:
        The file that was written.

    Raises:
        FileNotFoundError: If ``src`` does not exist.
        ValueError: If it is no checkpoint of a model that this package knows.
    """
    src, dst = Path(src).expanduser(), Path(dst).expanduser()
    if not src.is_file():
        found = 'is a folder' if src.is_dir() else 'does not exist'
        raise FileNotFoundError(f'{src} {found}, expected a checkpoint file')
    content = load_content(src)
    state_dict = Checkpoint.of(content, str(src)).state_dict
    try:
        Conversion.of(state_dict)
    except ValueError as error:
        raise ValueError(f'{src}: {error}') from error
    meta = content.get('meta') or {} if 'state_dict' in content else {}
    kept = dict(meta={k: v for k, v in meta.items() if k in KEPT_META}, state_dict=state_dict)
    with temporary_beside(dst) as temporary:
        with temporary.open('wb') as file:
            torch.save(kept, file)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()[:8]
        published = dst.with_name(f'{dst.stem}-{digest}{dst.suffix}')
        move_into_place(temporary, published)
        return published
