"""Write weights in any format: exactly as they were read, or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from mmengine.logging import print_log
from torch import Tensor

from ..utils.files import replacing
from ..version import __version__
from .conversion import Conversion
from .expressing import check_expressed
from .formats import FORMATS
from .reading import Checkpoint
from .settings import activation_of, as_meta, merged

__all__ = ['WRITABLE', 'convert_checkpoint', 'save_weights']

WRITABLE = ('ts2net_mm', 'openai', 'huggingface', 'open_clip', 'released')
ENDINGS = ('.pth', '.pt', '.bin', '.safetensors')


def convert_checkpoint(
    checkpoint: Checkpoint, to: str, *, config_beside: bool = True
) -> tuple[dict[str, Tensor], dict]:
    """Rename and lay out weights for another library; values and dtypes stay.

    Args:
        checkpoint: Weights of any format.
        to: One of ``WRITABLE``.
        config_beside: Whether Hugging Face's ``config.json`` will tell heads and activation.

    Returns:
        The state dict, and the config of the model that it belongs to.

    Raises:
        ValueError: If the weights are of no known format, incomplete, or hold what the other format
            cannot express.
    """
    if to not in WRITABLE:
        raise ValueError(f'format {to!r} is unknown, choose one of {", ".join(WRITABLE)}')
    try:
        conversion = Conversion.of(checkpoint.state_dict)
        config = merged(conversion.config(), checkpoint.settings)
        conversion.check(config)
        written = FORMATS[to].from_ours(conversion.tensors, config)
        if to != 'ts2net_mm':
            check_expressed(
                config,
                Conversion.of(written).config(),
                beside=config_beside and to == 'huggingface',
                name=FORMATS[to].name,
            )
        for note in conversion.describe_unused():
            print_log(f'{checkpoint.name}: {note}', logger='current')
        return written, config
    except ValueError as error:
        raise ValueError(f'{checkpoint.name}: {error}') from error


def save_weights(path: str | Path, state_dict: Mapping[str, Tensor], config: dict, to: str) -> None:
    """Save a state dict as a ``.pth`` or ``.safetensors`` file, or for Hugging Face as a folder.

    The file appears only when it is complete. This package's own format carries the model config.

    Args:
        path: Where to write; for Hugging Face a name without ending is a folder, which gets a
            ``config.json`` too.
        state_dict: Weights under the names of the format.
        config: Config of the model that they belong to.
        to: The format.

    Raises:
        ValueError: If the name has another ending.
    """
    path = Path(path).expanduser()
    meta: dict[str, str] = dict(ts2net_mm_version=__version__)
    if to == 'ts2net_mm':
        meta |= as_meta(config)
    if path.suffix == '.safetensors':
        with replacing(path) as temporary:
            safetensors.torch.save_file(
                _contiguous(state_dict), temporary, metadata=dict(meta, format='pt')
            )
    elif path.suffix in ENDINGS:
        content = dict(meta=meta, state_dict=state_dict) if to == 'ts2net_mm' else state_dict
        # a file object, lest the archive tells the temporary name
        with replacing(path) as temporary, temporary.open('wb') as file:
            torch.save(content, file)
    elif to == 'huggingface' and not path.suffix:
        with replacing(path / 'model.safetensors') as temporary:
            safetensors.torch.save_file(
                _contiguous(state_dict), temporary, metadata=dict(format='pt')
            )
        with replacing(path / 'config.json') as temporary:
            temporary.write_text(json.dumps(_huggingface_config(config), indent=2) + '\n')
    else:
        raise ValueError(
            f'{path} must end in {", ".join(ENDINGS)}'
            + (', or be a folder' if to == 'huggingface' else '')
        )


def _contiguous(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor.contiguous() for key, tensor in state_dict.items()}


def _huggingface_config(config: dict) -> dict[str, Any]:
    """The ``config.json`` with which transformers builds the same CLIP."""
    vision, text = config['backbone'], config['text_encoder']

    def tower(part: dict, width: int) -> dict[str, Any]:
        return dict(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=part['num_layers'],
            num_attention_heads=part['num_heads'],
            hidden_act=activation_of(part.get('act_cfg')),
            layer_norm_eps=1e-5,
            projection_dim=text['out_dims'],
        )

    return dict(
        architectures=['CLIPModel'],
        model_type='clip',
        projection_dim=text['out_dims'],
        vision_config=dict(
            tower(vision, vision['embed_dims']),
            image_size=vision['img_size'],
            patch_size=vision['patch_size'],
        ),
        text_config=dict(
            tower(text, text['width']),
            vocab_size=text['vocab_size'],
            max_position_embeddings=text['context_length'],
            # the end of a text is the largest id, as in CLIP
            bos_token_id=text['vocab_size'] - 2,
            eos_token_id=text['vocab_size'] - 1,
        ),
    )
