"""Read weights from any container: files of torch, TorchScript or safetensors, and folders.

Nothing that a file contains is executed, and an unreadable file gives an error of one line.
"""

import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from ..utils.text import one_line
from .downloading import fetch, is_url
from .settings import CONFIG_FILES, KEY, add_config_files, parse_stored
from .torchscript import is_torchscript, read_torchscript

__all__ = [
    'Checkpoint',
    'StateDict',
    'list_first',
    'load_content',
    'read_checkpoint',
    'read_state_dict',
]

# in torch's message about a pickle that is more than tensors
_FORBIDDEN = re.compile(r'GLOBAL (\S+)')
# What a folder of Hugging Face or open_clip may contain, in order of preference. An index names the
# files over which a large model is spread; a variant (fp16) stands before the suffix.
_FOLDER_FILES = (
    'model.safetensors',
    'model.safetensors.index.json',
    'pytorch_model.bin',
    'pytorch_model.bin.index.json',
    'open_clip_model.safetensors',
    'open_clip_pytorch_model.bin',
)
_VARIANTS = (
    'model.*.safetensors',
    'model.safetensors.index.*.json',
    'pytorch_model.*.bin',
    'pytorch_model.bin.index.*.json',
)
_SHARD = re.compile(r'.+-\d{5}-of-\d{5}\..+')
# keys of the state dict in a training script's checkpoint
_WRAPPERS = ('state_dict', 'model_state_dict', 'model')


@dataclass
class Checkpoint:
    """Weights under the names of their file, and the settings that the file states.

    Args:
        state_dict: The weights; the prefix ``module.`` of a parallel wrapper is removed.
        settings: Settings of the model in the shape of a model config; empty for most files.
        name: What messages call the checkpoint.
    """

    state_dict: dict[str, Tensor]
    settings: dict = field(default_factory=dict)
    name: str = 'the checkpoint'

    def __post_init__(self) -> None:
        self.state_dict = {key.removeprefix('module.'): t for key, t in self.state_dict.items()}

    @classmethod
    def from_content(cls, content: Any, name: str) -> 'Checkpoint':
        """Find the state dict and the settings in what a file contains.

        Raises:
            ValueError: If there is no state dict; the message says what there is.
        """
        state_dict, meta = content, None
        if isinstance(content, Mapping):
            meta = content.get('meta')
            wrapped = (content[key] for key in _WRAPPERS if key in content)
            state_dict = next((value for value in wrapped if isinstance(value, Mapping)), content)
        if not isinstance(state_dict, Mapping):
            raise ValueError(f'{name} holds a {type(content).__name__}, expected a state dict')
        strange = [key for key, value in state_dict.items() if not isinstance(value, Tensor)]
        if strange or not state_dict:
            found = (
                f'the entries {list_first(strange)} are no tensors' if strange else 'it is empty'
            )
            raise ValueError(f'{name} holds no state dict: {found}')
        stored = meta.get(KEY) if isinstance(meta, Mapping) else None
        return cls(dict(state_dict), {} if stored is None else parse_stored(stored, name), name)


def read_checkpoint(checkpoint: str | Path, *, cache_dir: str | Path | None = None) -> Checkpoint:
    """Read a checkpoint or plain state dict.

    Args:
        checkpoint: A file of torch, TorchScript or safetensors, recognised by its content; a folder
            of Hugging Face or open_clip; a URL; or the name of one of OpenAI's CLIPs
            (``ViT-B/32``).
        cache_dir: Folder for downloads, see ``fetch``.

    Raises:
        FileNotFoundError: If it does not exist, or cannot be downloaded.
        ValueError: If it is unreadable or no checkpoint; the message says what it seems to be.
    """
    name = str(checkpoint)
    # MMEngine reads from stores such as s3:// and petrel://
    if is_url(name) and not name.startswith(('http://', 'https://')):
        content = CheckpointLoader.load_checkpoint(name, map_location='cpu', logger='silent')
    else:
        content = load_content(fetch(checkpoint, cache_dir=cache_dir))
    return Checkpoint.from_content(content, name)


class StateDict(dict[str, Tensor]):
    """Tensors by their names, with the settings that the file states, such as the activation.

    Args:
        checkpoint: The checkpoint that was read.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint.state_dict)
        self.settings = checkpoint.settings


def read_state_dict(checkpoint: str | Path) -> StateDict:
    """Read the tensors of a checkpoint or plain state dict; see ``read_checkpoint``.

    ``config_from_state_dict`` also sees the settings that the file or folder states.
    """
    return StateDict(read_checkpoint(checkpoint))


def load_content(path: Path, map_location: Any = 'cpu') -> Any:
    """Load what torch saved in a file, or the state dict in a folder or a file of another kind.

    Settings in a config file next to the weights are added to ``meta``.

    Raises:
        FileNotFoundError: If a folder contains no weights.
        ValueError: If the weights are unreadable; the message says what they seem to be.
    """
    path = _weight_file(path)
    if path.name.endswith('.json') and '.index.' in path.name:
        content = _load_shards(path, map_location)
    else:
        content = _load_file(path, map_location)
    if any(path.with_name(name).is_file() for name in CONFIG_FILES):
        content = add_config_files(content, path)
    return content


def _weight_file(path: Path) -> Path:
    """Return the weight file in a folder, or the file itself."""
    if path.is_file():
        return path
    for name in _FOLDER_FILES:
        if (path / name).is_file():
            return path / name
    variants = [
        file
        for pattern in _VARIANTS
        for file in sorted(path.glob(pattern))
        if not _SHARD.fullmatch(file.name)
    ]
    if len(variants) == 1:
        return variants[0]
    if variants:
        raise FileNotFoundError(
            f'folder {path} holds several variants, name one of the files: '
            + ', '.join(file.name for file in variants)
        )
    found = sorted(entry.name for entry in path.iterdir())[:10]
    raise FileNotFoundError(
        f'folder {path} holds none of {", ".join(_FOLDER_FILES)}; it holds {found}'
    )


def _load_shards(index: Path, map_location: Any) -> dict:
    """Load a model that is spread over several files; the index names the file of each tensor."""
    try:
        files = json.loads(index.read_text(encoding='utf-8'))['weight_map']
        shards = sorted(set(files.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{index} is no index of weight files: {one_line(error)}') from error
    state_dict: dict[str, Tensor] = {}
    for name in shards:
        # an index may come from anywhere and must not name files elsewhere
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f'{index} names {name!r}, expected the name of a file next to it')
        file = index.parent / name
        if not file.is_file():
            raise FileNotFoundError(f'{index} names {name}, which is not in {index.parent}')
        state_dict |= Checkpoint.from_content(_load_file(file, map_location), str(file)).state_dict
    if missing := [key for key in files if key not in state_dict]:
        raise ValueError(
            f'{index} names {len(missing)} tensors that no file has: {list_first(missing)}'
        )
    return dict(state_dict=state_dict)


def _load_file(path: Path, map_location: Any) -> Any:
    try:
        _check_sums(path)
        if _is_safetensors(path):
            with safetensors.safe_open(path, framework='pt', device='cpu') as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return dict(state_dict=tensors, meta=dict(file.metadata() or {}))
        if is_torchscript(path):
            return dict(state_dict=read_torchscript(path))
        with path.open('rb') as opened:  # given a path, torch would go by its suffix
            return torch.load(opened, map_location=map_location, weights_only=True)
    except Exception as error:  # torch raises a dozen types on a file of another kind
        raise ValueError(
            f'{path} cannot be read as a checkpoint: {_describe(path, error)}'
        ) from error


def _check_sums(path: Path) -> None:
    """Check the records of torch's archives against their checksums, which torch does not do."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f'the checksum of its record {damaged} is wrong')


def _is_safetensors(path: Path) -> bool:
    """Tell by the header: its length in eight bytes, then JSON."""
    with path.open('rb') as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b'{' and start[5:8] == bytes(3)


def _describe(path: Path, error: Exception) -> str:
    """Say what an unreadable file seems to be."""
    with path.open('rb') as file:
        start = file.read(64)
    if not start:
        return 'the file is empty'
    if start.lstrip()[:1] == b'<':
        return 'it starts like a web page (a failed download?)'
    if start.startswith(b'version https://git-lfs'):
        return 'it is a Git LFS pointer; fetch the file itself'
    if start.isascii() and start.decode().replace('\n', ' ').isprintable():
        return f'it is a text file that starts with {start[:30].decode()!r}'
    if start.startswith(b'PK') and not zipfile.is_zipfile(path):
        return 'it is truncated (an interrupted download or copy?)'
    if found := _FORBIDDEN.search(str(error)):
        return f'it asks for {found[1]}, which no weights need and which is not run'
    if 'Weights only load failed' in str(error):
        return 'it is a pickle of more than tensors and plain values, which is not loaded'
    return one_line(error)


def list_first(names: Iterable[str], most: int = 10) -> str:
    """Join the first names for a message."""
    names = list(names)
    return ', '.join(map(str, names[:most])) + (', ...' if len(names) > most else '')
