"""Read weight files of every container, and say in one line why one cannot be read."""

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from ..utils.text import one_line
from .downloading import fetch, is_url
from .names import without_wrapper
from .normalisation import warn_of_normalisation
from .settings import add_settings, settings_beside, settings_inside
from .torchscript import is_torchscript, read_torchscript

__all__ = [
    'Checkpoint',
    'StateDict',
    'load_content',
    'read_checkpoint',
    'read_state_dict',
]

# in torch's message about a pickle that is more than tensors
_FORBIDDEN = re.compile(r'GLOBAL (\S+)')
# What a folder of Hugging Face or open_clip may hold, the first that is there. An index names the
# files over which a large model is spread; a variant (fp16) stands before the ending.
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
# under which name training scripts save the state dict, beside the optimiser's and others
_WRAPPERS = ('state_dict', 'model_state_dict', 'model')


@dataclass(frozen=True)
class Checkpoint:
    """What a weight file holds.

    Args:
        state_dict: Its tensors under its own names, without a parallel wrapper's prefix.
        settings: Settings of the model that the file tells beside the tensors, in the shape of a
            model config; empty for most.
        name: The file, for messages.
    """

    state_dict: dict[str, Tensor]
    settings: dict = field(default_factory=dict)
    name: str = 'the checkpoint'

    @classmethod
    def of(cls, content: Any, name: str) -> 'Checkpoint':
        """Find the state dict in what a file holds.

        Raises:
            ValueError: If there is none; the message says what is there.
        """
        state_dict = content
        if isinstance(content, Mapping):
            wrapped = (content[name] for name in _WRAPPERS if name in content)
            state_dict = next((one for one in wrapped if isinstance(one, Mapping)), content)
        if not isinstance(state_dict, Mapping):
            raise ValueError(f'{name} holds a {type(content).__name__}, expected a state dict')
        strange = [key for key, value in state_dict.items() if not isinstance(value, Tensor)]
        if strange or not state_dict:
            raise ValueError(
                f'{name} holds no state dict: '
                + (f'the entries {_first(strange)} are no tensors' if strange else 'it is empty')
            )
        return cls(without_wrapper(state_dict), settings_inside(content, name), name)


def read_checkpoint(checkpoint: str | Path) -> Checkpoint:
    """Read a checkpoint or plain state dict. Nothing that a file contains is executed.

    Args:
        checkpoint: A file of torch, TorchScript or safetensors, recognised by its content; a folder
            of Hugging Face; an address; or the name of one of OpenAI's CLIPs (``ViT-B/32``).

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is no checkpoint; the message says what it seems to be.
    """
    name = str(checkpoint)
    if is_url(name) and not name.startswith(('http://', 'https://')):
        content = CheckpointLoader.load_checkpoint(name, map_location='cpu', logger='silent')
        return Checkpoint.of(content, name)
    return Checkpoint.of(load_content(fetch(checkpoint)), name)


class StateDict(dict[str, Tensor]):
    """Tensors by their names, and what the file tells beside them, such as the activation.

    Args:
        checkpoint: The file that was read.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint.state_dict)
        self.settings = checkpoint.settings


def read_state_dict(checkpoint: str | Path) -> StateDict:
    """Read the tensors of a checkpoint or plain state dict; see ``read_checkpoint``.

    ``config_from_state_dict`` also sees the settings that the file or folder tells beside them.
    """
    return StateDict(read_checkpoint(checkpoint))


def load_content(path: Path, map_location: Any = 'cpu') -> Any:
    """Read a file or folder: what torch saved in it, or the state dict of another container.

    What a config file beside the weights tells is put into ``meta``.

    Raises:
        FileNotFoundError: If a folder holds no weights.
        ValueError: If it cannot be read; the message says what it seems to be.
    """
    path = _file_of(path)
    if path.name.endswith('.json') and '.index.' in path.name:
        content = _load_shards(path, map_location)
    else:
        content = _load_file(path, map_location)
    settings = settings_beside(path)
    warn_of_normalisation(path)
    return add_settings(content, settings) if settings else content


def _load_shards(index: Path, map_location: Any) -> dict:
    """Read a model that is spread over several files, which an index names for each tensor."""
    try:
        files = json.loads(index.read_text(encoding='utf-8'))['weight_map']
        shards = sorted(set(files.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{index} is no index of weight files: {one_line(error)}') from error
    state_dict: dict[str, Tensor] = {}
    for name in shards:
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f'{index} names {name!r}, expected the name of a file beside it')
        file = index.parent / name
        if not file.is_file():
            raise FileNotFoundError(f'{index} names {name}, which is not in {index.parent}')
        state_dict |= Checkpoint.of(_load_file(file, map_location), str(file)).state_dict
    if missing := [key for key in files if key not in state_dict]:
        raise ValueError(
            f'{index} names {len(missing)} tensors that no file has: {_first(missing)}'
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
        with path.open('rb') as opened:  # with a name, torch would go by its ending
            return torch.load(opened, map_location=map_location, weights_only=True)
    except Exception as error:  # torch raises a dozen types on a file of another kind
        raise ValueError(
            f'{path} is no checkpoint that can be read: {_describe(path, error)}'
        ) from error


def _file_of(path: Path) -> Path:
    """The weight file of a folder, or the file itself."""
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


def _check_sums(path: Path) -> None:
    """Raise a BadZipFile if a record of an archive of torch has another checksum than it states."""
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
    """Say what the file seems to be."""
    with path.open('rb') as file:
        start = file.read(64)
    if not start:
        return 'the file is empty'
    if start.lstrip()[:1] == b'<':
        return 'it starts like a web page (a download that failed?)'
    if start.startswith(b'version https://git-lfs'):
        return 'it is a Git LFS pointer; fetch the file itself'
    if start.isascii() and start.decode().replace('\n', ' ').isprintable():
        return f'it is a text file that starts with {start[:30].decode()!r}'
    if start.startswith(b'PK') and not zipfile.is_zipfile(path):
        return 'it is cut off (a download or a copy that was broken off?)'
    if found := _FORBIDDEN.search(str(error)):
        return f'it asks for {found[1]}, which no weights need and which is not run'
    if 'Weights only load failed' in str(error):
        return 'it is a pickle of more than tensors and plain values, which is not loaded'
    return one_line(error)


def _first(keys: list, most: int = 10) -> str:
    more = f' and {len(keys) - most} more' if len(keys) > most else ''
    return ', '.join(str(key) for key in keys[:most]) + more
