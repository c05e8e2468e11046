"""A copy of a model's text encoder in an index, which starts without the rest of the model.

A search of an encoded folder needs sentences encoded and nothing else. Building the whole model
imports MMAction2 and reads all weights, which takes longer than the search.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..utils.files import ensure_folder, replacing, write_text
from ..utils.text import has_words

if TYPE_CHECKING:
    from ..apis import RetrievalInferencer

__all__ = [
    'StoredTextEncoder',
    'TextSettings',
    'copy_text_encoder',
    'has_copy',
    'source_of',
    'store_text_encoder',
]

logger = logging.getLogger(__name__)

FOLDER, WEIGHTS, SETTINGS = 'text_encoder', 'weights.safetensors', 'settings.json'
ACTIVATIONS = ('QuickGELU', 'GELU')
EPS = 1e-5  # of CLIP's layer norms
TEXTS_AT_A_TIME = 256


@dataclass(frozen=True)
class TextSettings:
    """What a copy needs besides the weights.

    Args:
        source: What it was copied from, see `source_of`.
        max_words: Tokens of a sentence, start and end included.
        num_layers: Number of blocks.
        num_heads: Attention heads of a block.
        activation: 'QuickGELU' or 'GELU'.
    """

    source: str
    max_words: int
    num_layers: int
    num_heads: int
    activation: str


def source_of(config: str | Path, checkpoint: str | Path) -> str:
    """Hash a config, and the path, size and time of change of weights, without reading them.

    Args:
        config: Config file.
        checkpoint: Weights; of a name or URL only the name counts.

    Raises:
        Exception: If the config cannot be read.
    """
    settings = Config.fromfile(config, import_custom_modules=False).to_dict()
    path = Path(checkpoint).expanduser()
    identity: list[Any] = [str(checkpoint)]
    if path.exists():
        status = path.stat()
        identity = [str(path.resolve()), status.st_size, status.st_mtime_ns]
    content = json.dumps([settings, identity], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def copy_text_encoder(index: str | Path, inferencer: RetrievalInferencer, source: str) -> bool:
    """Copy the text encoder of a model into an index, unless it is there.

    Args:
        index: The folder of the index.
        inferencer: The model.
        source: What it was built from, see `source_of`.

    Returns:
        Whether the index has a copy: only of a `CLIPTextEncoder` there can be one.

    Raises:
        OSError: If it cannot be written.
    """
    encoder = inferencer.model.text_encoder
    if type(encoder).__name__ != 'CLIPTextEncoder':
        return False
    first = encoder.layers[0]
    settings = TextSettings(
        source=source,
        max_words=inferencer.max_words,
        num_layers=len(encoder.layers),
        num_heads=first.attn.num_heads,
        activation=type(first.ffn.layers[0][1]).__name__,
    )
    if settings.activation not in ACTIVATIONS:
        return False
    if not has_copy(index, source):
        weights = encoder.state_dict()
        if encoder.lora:
            from ..models.layers.lora import merge_lora  # imports MMAction2

            weights = merge_lora(weights, encoder.lora.scale)
        store_text_encoder(index, weights, settings)
    return True


def has_copy(index: str | Path, source: str) -> bool:
    """Tell whether an index has a copy of the text encoder of a source; not if it is damaged."""
    path = Path(index).expanduser() / FOLDER / SETTINGS
    try:
        return path.exists() and _read_settings(path).source == source
    except ValueError as error:
        logger.warning('%s, so it is made again', error)
        return False


def store_text_encoder(
    index: str | Path, state_dict: dict[str, Tensor], settings: TextSettings
) -> None:
    """Copy a text encoder into an index.

    Args:
        index: The folder of the index.
        state_dict: State dict of a `CLIPTextEncoder`.
        settings: Its settings.

    Raises:
        OSError: If it cannot be written.
    """
    folder = ensure_folder(Path(index) / FOLDER, 'folder of the text encoder')
    tensors = {key: value.detach().cpu().contiguous() for key, value in state_dict.items()}
    with replacing(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
    write_text(folder / SETTINGS, json.dumps(asdict(settings), indent=1))


class StoredTextEncoder:
    """Encode sentences with the copy of a text encoder in an index.

    Args:
        index: The folder of the index.

    Raises:
        FileNotFoundError: If the index has no copy.
        ValueError: If it cannot be read.
    """

    def __init__(self, index: str | Path) -> None:
        folder = Path(index).expanduser() / FOLDER
        self.settings = _read_settings(folder / SETTINGS)
        try:
            with safe_open(folder / WEIGHTS, framework='pt') as file:
                self._weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(
                f'{folder / WEIGHTS} is damaged ({error}): delete the folder {folder}, which the '
                'next search makes again'
            ) from error
        self._tokenize: Callable[..., Tensor] = _import_tokenizer().tokenize

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Encode sentences: N strings -> (N, D), not normalised.

        Raises:
            ValueError: If one has no word.
        """
        for text in texts:
            if not has_words(text):
                raise ValueError(f'the sentence {text!r} has no word')
        tokens = self._tokenize(list(texts), context_length=self.settings.max_words)
        return torch.cat([self._encode(part) for part in tokens.split(TEXTS_AT_A_TIME)])

    def _encode(self, tokens: Tensor) -> Tensor:
        """Compute what `CLIPTextEncoder` computes: (N, L) -> (N, D)."""
        ends = tokens.argmax(dim=1)  # the end token has the largest id
        tokens = tokens[:, : int(ends.max()) + 1]  # what follows the end changes nothing
        weights = self._weights
        x = weights['token_embedding.weight'][tokens] + weights['pos_embed'][: tokens.shape[1]]
        for number in range(self.settings.num_layers):
            x = self._block(x, f'layers.{number}.')
        x = x[torch.arange(len(x)), ends]
        return F.linear(self._norm(x, 'ln_final'), weights['proj.weight'])

    def _block(self, x: Tensor, prefix: str) -> Tensor:
        """Run a pre-norm block: (N, L, W) -> (N, L, W)."""
        qkv = self._linear(self._norm(x, f'{prefix}ln1'), f'{prefix}attn.qkv')
        # (N, L, 3 W) -> three of (N, heads, L, W / heads)
        heads = qkv.unflatten(-1, (3, self.settings.num_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self._linear(attended.transpose(1, 2).flatten(2), f'{prefix}attn.proj')
        hidden = self._linear(self._norm(x, f'{prefix}ln2'), f'{prefix}ffn.layers.0.0')
        if self.settings.activation == 'QuickGELU':
            hidden = hidden * torch.sigmoid(1.702 * hidden)
        else:
            hidden = F.gelu(hidden)
        return x + self._linear(hidden, f'{prefix}ffn.layers.1')

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f'{name}.weight'], self._weights[f'{name}.bias'])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f'{name}.weight'], self._weights[f'{name}.bias']
        return F.layer_norm(x, weight.shape, weight, bias, EPS)


def _read_settings(path: Path) -> TextSettings:
    try:
        return TextSettings(**json.loads(path.read_text(encoding='utf-8')))
    except (ValueError, TypeError) as error:
        raise ValueError(f'{path} is no description of a text encoder ({error})') from error


def _import_tokenizer() -> ModuleType:
    """Import ``open_clip.tokenizer`` without the package, which imports all its models."""
    package = importlib.util.find_spec('open_clip')
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / 'tokenizer.py'
    spec = importlib.util.spec_from_file_location('_open_clip_tokenizer', path)
    assert spec is not None
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
