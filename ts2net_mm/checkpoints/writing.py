"""Write weights for other libraries, bit by bit or not at all, and publish checkpoints."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from mmengine.logging import print_log
from torch import Tensor

from ..models.layers.lora import LoRASettings, merge_lora
from ..utils.files import move_into_place, replacing, temporary_beside, write_text
from ..version import __version__
from .conversion import Conversion
from .formats import FORMATS
from .reading import Checkpoint, load_content
from .settings import KEY, activation_name, as_meta

__all__ = ['WRITABLE', 'convert_checkpoint', 'publish', 'save_weights']

WRITABLE = ('ts2net_mm', 'openai', 'huggingface', 'open_clip', 'released')
SUFFIXES = ('.pth', '.pt', '.bin', '.safetensors')
# meta data of a training checkpoint that a published one keeps
KEPT_META = (KEY, 'cfg', 'dataset_meta', 'epoch', 'iter', 'mmengine_version', 'seed')

# Settings that decide what a model computes and that no shape shows, with the defaults of its parts
_SETTINGS: dict[str, dict[str, Any]] = {
    'backbone': dict(
        num_heads=None,
        act_cfg=None,
        shift_layers=(),
        num_shift_tokens=7,
        forward_offset=1,
        backward_offset=4,
        shift=None,
    ),
    'text_encoder': dict(num_heads=None, act_cfg=None, output='sentence'),
    'neck': dict(type='CLSOnly', topk=3, sigma=0.05, context='frame', candidates='patches'),
    'head.temporal': dict(
        type=None, num_heads=None, act_cfg=None, positions='token', residual=True
    ),
    'head.similarity': dict(type='FrameWeightedSimilarity', temperature=4.0),
}
_OF_THE_SHIFT = ('num_shift_tokens', 'forward_offset', 'backward_offset', 'shift')
_ENCODERS = ('backbone', 'text_encoder')
_IN_CONFIG_JSON = ('num_heads', 'act_cfg')  # stated for each encoder


def convert_checkpoint(
    checkpoint: Checkpoint, to: str, *, has_config_json: bool = True
) -> tuple[dict[str, Tensor], dict]:
    """Rename and lay out weights for another library; values and dtypes do not change.

    LoRA adapters are added to the weights that they adapt, and the result has none.

    Args:
        checkpoint: Weights of any format.
        to: One of ``WRITABLE``.
        has_config_json: Whether a ``config.json`` will state the heads and the activation, in a
            format that has such a file.

    Returns:
        The state dict, and the config of the model that it belongs to.

    Raises:
        ValueError: If the weights have no known format, are incomplete, or hold what the other
            format cannot express.
    """
    if to not in WRITABLE:
        raise ValueError(f'format {to!r} is unknown, choose one of {", ".join(WRITABLE)}')
    fmt = FORMATS[to]
    conversion = Conversion.from_checkpoint(checkpoint)
    config = conversion.config()
    conversion.check()
    tensors, config = _merge_adapters(conversion.tensors, config)
    try:
        if not fmt.is_own and _setting(config, 'backbone', 'patch_frames', 1) != 1:
            raise ValueError(f'{fmt.name} weights cannot express patches of several frames')
        written = fmt.from_ours(tensors, config)
        if not fmt.is_own:  # which stores the config itself
            understood = Conversion.from_checkpoint(Checkpoint(written)).config()
            has_config_json = has_config_json and fmt.config_json is not None
            check_lossless(config, understood, has_config_json=has_config_json, name=fmt.name)
    except ValueError as error:
        raise ValueError(f'{checkpoint.name}: {error}') from error
    for note in conversion.describe_unused():
        print_log(f'{checkpoint.name}: {note}', logger='current')
    return written, config


def _merge_adapters(tensors: dict[str, Tensor], config: dict) -> tuple[dict[str, Tensor], dict]:
    """Add LoRA adapters to the weights that they adapt, and drop them from the config."""
    merged, config = dict(tensors), dict(config)
    for part in _ENCODERS:
        settings = dict(config[part])
        if (lora := settings.pop('lora', None)) is None:
            continue
        config[part] = settings
        own = {key: tensors[key] for key in tensors if key.startswith(f'{part}.')}
        merged = {key: tensor for key, tensor in merged.items() if key not in own}
        merged |= merge_lora(own, LoRASettings.from_config(lora).scale)
    return merged, config


def check_lossless(
    config: Mapping, understood: Mapping, *, has_config_json: bool, name: str
) -> None:
    """Compare a model with what its weights will be taken for in another format.

    Args:
        config: Config of the model.
        understood: Config that is derived from the weights as written.
        has_config_json: Whether a ``config.json`` will state the heads and the activation.
        name: What the error calls the format.

    Raises:
        ValueError: If a setting is lost; the message says what it would become.
    """
    shifts = bool(_setting(config, 'backbone', 'shift_layers', ()))
    for part, defaults in _SETTINGS.items():
        for key, default in defaults.items():
            if has_config_json and part in _ENCODERS and key in _IN_CONFIG_JSON:
                continue
            if key in _OF_THE_SHIFT and not shifts:
                continue
            value, other = (_setting(c, part, key, default) for c in (config, understood))
            if value != other:
                raise ValueError(
                    f'{name} weights cannot express {part}.{key}={value!r}, they mean {other!r}'
                )


def _setting(config: Mapping, part: str, key: str, default: Any) -> Any:
    """Return a setting of a part, in a form that can be compared."""
    found: Any = config
    for name in part.split('.'):
        found = (found or {}).get(name)
    value = (found or {}).get(key, default)
    if key == 'act_cfg':
        return activation_name(value)
    return tuple(value) if isinstance(value, list) else value


def save_weights(path: str | Path, state_dict: Mapping[str, Tensor], config: dict, to: str) -> None:
    """Save a state dict as a ``.pth`` or ``.safetensors`` file, or for Hugging Face as a folder.

    The file appears only when it is complete. This package's own format stores the model config.

    Args:
        path: Where to write; for Hugging Face a name without suffix is a folder, which also gets a
            ``config.json``.
        state_dict: Weights under the names of the format.
        config: Config of the model that they belong to.
        to: The format, one of ``WRITABLE``.

    Raises:
        ValueError: If the name has another suffix.
    """
    path = Path(path).expanduser()
    fmt = FORMATS[to]
    meta = dict(ts2net_mm_version=__version__) | (as_meta(config) if fmt.is_own else {})
    if path.suffix == '.safetensors':
        _save_safetensors(path, state_dict, meta)
    elif path.suffix in SUFFIXES:
        content = dict(meta=meta, state_dict=state_dict) if fmt.is_own else state_dict
        # through a file object, because torch would store the temporary name in the archive
        with replacing(path) as temporary, temporary.open('wb') as file:
            torch.save(content, file)
    elif fmt.config_json is not None and not path.suffix:
        _save_safetensors(path / 'model.safetensors', state_dict, {})
        write_text(path / 'config.json', json.dumps(fmt.config_json(config), indent=2) + '\n')
    else:
        folder = ', or be a folder' if fmt.config_json else ''
        raise ValueError(f'{path} must end in {", ".join(SUFFIXES)}{folder}')


def _save_safetensors(path: Path, state_dict: Mapping[str, Tensor], meta: dict[str, str]) -> None:
    tensors = {key: tensor.contiguous() for key, tensor in state_dict.items()}
    with replacing(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata=dict(meta, format='pt'))


def publish(src: str | Path, dst: str | Path) -> Path:
    """Strip a training checkpoint for release; its name gets the hash of the file.

    Args:
        src: Checkpoint of MMEngine.
        dst: File to write; ``-`` and eight digits of its SHA-256 are put before the suffix.

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
    checkpoint = Checkpoint.from_content(content, str(src))
    Conversion.from_checkpoint(checkpoint)  # raises for another model, NaN and infinite weights
    meta = content.get('meta') or {} if 'state_dict' in content else {}
    kept = {key: value for key, value in meta.items() if key in KEPT_META}
    with temporary_beside(dst) as temporary:
        with temporary.open('wb') as file:
            torch.save(dict(meta=kept, state_dict=checkpoint.state_dict), file)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()[:8]
        published = dst.with_name(f'{dst.stem}-{digest}{dst.suffix}')
        move_into_place(temporary, published)
        return published
