"""Build a model from a config, load its weights strictly, and tell one model from another."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from ..checkpoints import check_state_dict

__all__ = ['build_model', 'fingerprint', 'load_config', 'load_weights', 'resolve_device']


def load_config(config: str | Path | Config) -> Config:
    """Read a config, import what it asks for and make its registry scope the default one.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it cannot be read or describes no model; the message names the file.
    """
    if not isinstance(config, Config):
        path = Path(config).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'config {path} does not exist')
        try:
            config = Config.fromfile(path)
        except Exception as error:  # a config is code: it may raise anything
            raise ValueError(f'config {path} cannot be read: {_one_line(error)}') from error
    if 'model' not in config:
        raise ValueError(
            f'config {config.filename} describes no model, found keys {sorted(config)}'
        )
    init_default_scope(config.get('default_scope') or 'mmaction')
    return config


def build_model(config: Config) -> nn.Module:
    """Build ``config.model``, without initialising it from any file.

    Raises:
        ValueError: If the model's settings are wrong; the message names the config.
    """
    try:
        return MODELS.build(config.model)
    except Exception as error:  # constructors raise many types
        raise ValueError(
            f'the model of config {config.filename} cannot be built: {_one_line(error)}'
        ) from error


def load_weights(model: nn.Module, checkpoint: str | Path) -> None:
    """Load a checkpoint or plain state dict (a file or URL) whose keys and shapes all fit.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no checkpoint, or one of another architecture; the message lists the
            first ten keys that are missing, unexpected or of another shape.
    """
    state_dict = _read_state_dict(str(checkpoint))
    check_state_dict(state_dict, model.state_dict(), name=f'checkpoint {checkpoint}')
    model.load_state_dict(state_dict)


def fingerprint(model: nn.Module, *settings: Any) -> str:
    """Hash the weights of a model and the settings its features depend on."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f'{key} {value.dtype} {tuple(value.shape)};'.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def resolve_device(device: str | torch.device | None) -> torch.device:
    """Return the device asked for, by default the first GPU, or the CPU where there is none.

    Raises:
        ValueError: If the device does not exist here.
    """
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise ValueError(f'device {str(device)!r} cannot be used: {_one_line(error)}') from error
    return torch.device(device)


def _read_state_dict(checkpoint: str) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, without the prefix that parallel wrappers add."""
    is_url = re.match(r'\w{2,}://', checkpoint) is not None
    if not is_url and not Path(checkpoint).expanduser().is_file():
        raise FileNotFoundError(f'checkpoint {checkpoint} does not exist')
    try:
        content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent')
    except Exception as error:  # torch raises a dozen types on a file of another kind
        raise ValueError(
            f'{checkpoint} is no checkpoint that torch can read: {_describe(checkpoint, error)}'
        ) from error
    state_dict = content.get('state_dict', content) if isinstance(content, Mapping) else content
    if not isinstance(state_dict, Mapping):
        raise ValueError(f'{checkpoint} holds a {type(content).__name__}, expected a state dict')
    strange = [key for key, value in state_dict.items() if not isinstance(value, Tensor)]
    if strange or not state_dict:
        raise ValueError(
            f'{checkpoint} holds no state dict: '
            + (f'the entries {_first(strange)} are no tensors' if strange else 'it is empty')
        )
    return {re.sub(r'^module\.', '', key): value for key, value in state_dict.items()}


def _describe(checkpoint: str, error: Exception) -> str:
    """Say what the file seems to be."""
    path = Path(checkpoint).expanduser()
    if not path.is_file():
        return _one_line(error)
    with path.open('rb') as file:
        start = file.read(64)
    if not start:
        return 'the file is empty'
    if start.lstrip()[:1] == b'<':
        return 'it starts like a web page (a download that failed?)'
    if start.startswith(b'version https://git-lfs'):
        return 'it is a Git LFS pointer; fetch the file itself'
    return _one_line(error)


def _one_line(error: BaseException) -> str:
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    sentence = re.split(r'\n|\.\s', str(text).strip(), maxsplit=1)[0]
    return f'{type(error).__name__}: {sentence[:300]}'


def _first(keys: list, most: int = 10) -> str:
    more = f' and {len(keys) - most} more' if len(keys) > most else ''
    return ', '.join(str(key) for key in keys[:most]) + more
