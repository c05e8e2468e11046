"""Build a model from a config, load its weights strictly, and tell one model from another."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from ..checkpoints import load_weights
from ..utils.text import one_line

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
            raise ValueError(f'config {path} cannot be read: {one_line(error)}') from error
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
            f'the model of config {config.filename} cannot be built: {one_line(error)}'
        ) from error


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
        raise ValueError(f'device {str(device)!r} cannot be used: {one_line(error)}') from error
    return torch.device(device)
