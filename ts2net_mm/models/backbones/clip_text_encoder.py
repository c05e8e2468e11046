"""CLIP's text transformer."""

from typing import Literal, get_args

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers.lora import adapt_encoder
from ..layers.pretrained_last import PretrainedLast
from ..layers.transformer import LAYER_NORM_EPS, CLIPTransformer

__all__ = ['CLIPTextEncoder']

Output = Literal['sentence', 'words']


@MODELS.register_module()
class CLIPTextEncoder(PretrainedLast, BaseModule):
    """CLIP's causal text transformer; the feature is the hidden state at the end-of-text token.

    Features of all tokens are computed in the same way, for similarities that compare words.

    Args:
        vocab_size: Size of the vocabulary; the end-of-text token has the largest id.
        context_length: Maximum length of a sentence in tokens.
        width: Width of the transformer.
        num_layers: Number of blocks.
        num_heads: Attention heads of a block; CLIP has one per 64 channels.
        act_cfg: Activation of the blocks; QuickGELU by default, as in OpenAI's weights. Most
            weights from open_clip need ``dict(type='GELU')``.
        out_dims: Size of the joint embedding.
        output: 'sentence' for the end-of-text token, 'words' for all tokens, 0 after the end.
        frozen_stages: -1 trains everything, 0 freezes the token and position embeddings (the
            released recipe), n > 0 also the first n blocks.
        frozen: Train nothing.
        lora: Train adapters alone: settings of `LoRASettings`, ``{}`` for its defaults. Needs peft.
        with_cp: Recompute each block's activations in the backward pass to save memory.
        init_cfg: MMEngine's initialisation settings, such as ``CLIPPretrained``.

    Shape:
        - text: (N, L) int64 -> (N, out_dims), or (N, L, out_dims) for words

    Raises:
        ValueError: If a sentence is longer than ``context_length`` tokens, ``output`` is unknown,
            or both ``frozen`` and ``lora`` are set.

    Example:
        >>> import torch, ts2net_mm
        >>> from ts2net_mm.models import CLIPTextEncoder
        >>> encoder = CLIPTextEncoder(vocab_size=100, width=32, num_layers=1, num_heads=2)
        >>> encoder(torch.tensor([[98, 5, 7, 99, 0, 0]])).shape
        torch.Size([1, 512])
    """

    key_prefix = 'text_encoder.'  # of its weights in a whole model

    def __init__(
        self,
        *,
        vocab_size: int = 49408,
        context_length: int = 77,
        width: int = 512,
        num_layers: int = 12,
        num_heads: int = 8,
        out_dims: int = 512,
        act_cfg: dict | None = None,
        output: Output = 'sentence',
        frozen_stages: int = -1,
        frozen: bool = False,
        lora: dict | None = None,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if output not in get_args(Output):
            raise ValueError(f'output={output!r} is unknown, choose one of {get_args(Output)}')
        self.output = output
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.pos_embed = nn.Parameter(torch.zeros(context_length, width))
        self.layers = CLIPTransformer(
            width=width,
            num_layers=num_layers,
            num_heads=num_heads,
            act_cfg=act_cfg,
            with_cp=with_cp,
        )
        self.ln_final = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.proj = nn.Linear(width, out_dims, bias=False)
        if not -1 <= frozen_stages <= num_layers:
            raise ValueError(f'frozen_stages={frozen_stages} must be -1 to {num_layers}')
        if frozen_stages >= 0:
            self.pos_embed.requires_grad_(False)
            for module in (self.token_embedding, *list(self.layers)[:frozen_stages]):
                module.requires_grad_(False)
        self.lora = adapt_encoder(self, num_layers, frozen=frozen, lora=lora)

    def forward(self, text: Tensor) -> Tensor:
        """Encode sentences."""
        num_texts, length = text.shape
        longest = len(self.pos_embed)
        if length > longest:
            raise ValueError(
                f'a sentence of {length} tokens exceeds the {longest} positions of the text encoder'
            )
        x = self.token_embedding(text) + self.pos_embed[:length]
        x = self.layers(x, is_causal=True)
        end_of_text = text.argmax(dim=1)  # the token with the largest id
        if self.output == 'words':
            is_padding = torch.arange(length, device=x.device) > end_of_text[:, None]
            return self.proj(self.ln_final(x)).masked_fill(is_padding[..., None], 0.0)
        x = x[torch.arange(num_texts, device=x.device), end_of_text]
        return self.proj(self.ln_final(x))

    def draw_weights(self) -> None:
        """Initialise the weights as CLIP does."""
        width = self.token_embedding.embedding_dim
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.pos_embed, std=0.01)
        nn.init.normal_(self.proj.weight, std=width**-0.5)
        super().draw_weights()
