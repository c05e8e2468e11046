"""LoRA (Hu et al. 2021, arXiv 2106.09685) on the linear layers of CLIP blocks, through peft.

The keys of a state dict stay those of the model without adapters, and those of the adapters are
added, so that weights of both fit.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .transformer import at_least_fp32

__all__ = ['LoRASettings', 'adapt_encoder', 'add_lora', 'is_lora', 'merge_lora']

# names in a block, which are those of mmpretrain
TARGETS = dict(qkv='attn.qkv', proj='attn.proj', fc1='ffn.layers.0.0', fc2='ffn.layers.1')
ADAPTER = 'default'  # peft's name of an only adapter
_DOWN, _UP = f'.lora_A.{ADAPTER}.weight', f'.lora_B.{ADAPTER}.weight'


@dataclass(frozen=True, kw_only=True)
class LoRASettings:
    """Settings of the adapters: ``alpha / rank * up @ down`` is added to a weight.

    Args:
        rank: Rows of ``down`` and columns of ``up``.
        alpha: Scale of the adapters.
        dropout: Dropout before ``down`` in training.
        targets: Linear layers of a block: 'qkv' (query, key and value) and 'proj' of the attention,
            'fc1' and 'fc2' of the MLP.
        layers: Indices of the blocks, negative from the end; all by default.

    Raises:
        ValueError: If a setting is out of range or names no layer.
    """

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    targets: Sequence[str] = ('qkv', 'proj')
    layers: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise ValueError(
                f'lora: rank={self.rank} must be at least 1, alpha={self.alpha} positive and '
                f'dropout={self.dropout} from 0 to below 1'
            )
        if not self.targets or not set(self.targets) <= TARGETS.keys():
            raise ValueError(f'lora: targets={self.targets} must name some of {tuple(TARGETS)}')
        if self.layers is not None and not self.layers:
            raise ValueError('lora: layers is empty; lora=None has no adapters, layers=None all')

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> 'LoRASettings':
        """Read the settings of a config.

        Raises:
            ValueError: If a setting is unknown or out of range.
        """
        try:
            return cls(**config)
        except TypeError as error:
            names = ', '.join(cls.__dataclass_fields__)
            raise ValueError(f'lora={dict(config)} must have settings of {names}') from error

    @property
    def scale(self) -> float:
        """Factor on the product of both matrices."""
        return self.alpha / self.rank


def adapt_encoder(
    encoder: nn.Module, num_layers: int, *, frozen: bool, lora: Mapping[str, Any] | None
) -> LoRASettings | None:
    """Freeze an encoder, or add adapters and freeze the rest of it; return their settings.

    Raises:
        ValueError: If both are asked for, or a setting is wrong.
    """
    if lora is None:
        if frozen:
            encoder.requires_grad_(False)
        return None
    if frozen:
        raise ValueError('frozen=True trains nothing, and lora trains adapters: set one of them')
    settings = LoRASettings.from_config(lora)
    add_lora(encoder, settings, num_layers)
    return settings


def add_lora(encoder: nn.Module, settings: LoRASettings, num_layers: int) -> None:
    """Add adapters to the blocks in ``encoder.layers``, and freeze everything else in it.

    Raises:
        ImportError: If peft is not installed.
        ValueError: If a block does not exist.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
        from peft.tuners.lora import LoraLayer
    except ImportError as error:
        raise ImportError(
            'lora needs the package peft: python -m pip install "ts2net-mm[lora]"'
        ) from error
    layers = range(num_layers) if settings.layers is None else settings.layers
    if missing := [layer for layer in layers if not -num_layers <= layer < num_layers]:
        raise ValueError(f'lora: layers {missing} do not exist: the encoder has {num_layers}')
    blocks = '|'.join(str(layer % num_layers) for layer in layers)
    names = '|'.join(re.escape(TARGETS[target]) for target in settings.targets)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=rf'layers\.({blocks})\.({names})',
    )
    inject_adapter_in_model(config, encoder, ADAPTER)
    for module in encoder.modules():
        if isinstance(module, LoraLayer):
            module.register_state_dict_post_hook(_hide_base_layer)
            module.register_load_state_dict_pre_hook(_restore_base_layer)


def _hide_base_layer(module: nn.Module, state_dict: dict, prefix: str, metadata: Any) -> None:
    for leaf in ('weight', 'bias'):
        state_dict[prefix + leaf] = state_dict.pop(f'{prefix}base_layer.{leaf}')


def _restore_base_layer(module: nn.Module, state_dict: dict, prefix: str, *args: Any) -> None:
    for leaf in ('weight', 'bias'):
        if prefix + leaf in state_dict:
            state_dict[f'{prefix}base_layer.{leaf}'] = state_dict.pop(prefix + leaf)


def is_lora(name: str) -> bool:
    """Tell whether a parameter or key is of an adapter."""
    return '.lora_' in name


def merge_lora(state_dict: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Add adapters to the weights that they adapt, and drop them.

    Args:
        state_dict: Weights with adapters.
        scale: See `LoRASettings`.
    """
    merged = {key: tensor for key, tensor in state_dict.items() if not is_lora(key)}
    for key, down in state_dict.items():
        if key.endswith(_DOWN):
            name = key.removesuffix(_DOWN)
            weight, up = merged[f'{name}.weight'], state_dict[name + _UP]
            change = scale * at_least_fp32(up) @ at_least_fp32(down)
            merged[f'{name}.weight'] = (at_least_fp32(weight) + change).to(weight.dtype)
    return merged
