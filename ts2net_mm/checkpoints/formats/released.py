"""Key names of the released TS2-Net and of CLIP4Clip, on which it is built."""

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from .base import Format
from .key_map import SAME, KeyMap
from .openai import block_pairs, text_pairs, vision_pairs

__all__ = ['Released']

_SIZES = ('clip.input_resolution', 'clip.context_length', 'clip.vocab_size')
# the released code wraps the attention of a block whose tokens it shifts
_SHIFTED = re.compile(r'(clip\.visual\.transformer\.resblocks\.)(\d+)(\.attn\.)net\.(.*)')
_VISION_ATTENTION = re.compile(r'(clip\.visual\.transformer\.resblocks\.)(\d+)(\.attn\.)(.*)')
_POSITIONS = 'frame_position_embeddings.weight'
# TS2-Net builds a video prompt encoder and a text token selector, saves them and never calls them
_UNUSED = frozenset(
    [
        'visual_prompt_encoder.positional_embedding',
        'visual_prompt_encoder.conv1.weight',
        'visual_prompt_encoder.layer_norm.weight',
        'visual_prompt_encoder.layer_norm.bias',
        'text_token_selector.score_predictor.in_conv.0.weight',
        'text_token_selector.score_predictor.in_conv.0.bias',
        'text_token_selector.score_predictor.in_conv.1.weight',
        'text_token_selector.score_predictor.in_conv.1.bias',
        'text_token_selector.score_predictor.out_conv.0.weight',
        'text_token_selector.score_predictor.out_conv.2.weight',
    ]
)


class Released(Format):
    """``pytorch_model.bin.N`` of TS2-Net or CLIP4Clip (meanP, seqTransf, seqLSTM).

    Left out is what the released models save and never read: ten tensors of every TS2-Net, and the
    table of frame positions of CLIP4Clip's LSTM.
    """

    name = 'released TS2-Net'
    new = ('neck.', 'head.temporal.')
    unused = _UNUSED
    key_map = KeyMap(
        [
            *vision_pairs('clip.'),
            *text_pairs('clip.'),
            *block_pairs('head.temporal.layers', 'transformerClip.resblocks'),
            ('head.temporal.pos_embed', _POSITIONS, SAME),
            *(
                (f'head.temporal.lstm.{part}_l{{n}}', f'lstm_visual.{part}_l{{n}}', SAME)
                for part in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
            ),
            ('neck.token_mlp.{n}.{p}', 'visual_token_selector.score_predictor.in_conv.{n}.{p}'),
            ('neck.score_mlp.{n}.{p}', 'visual_token_selector.score_predictor.out_conv.{n}.{p}'),
        ]
    )

    def recognises(self, keys: Collection[str]) -> bool:
        """Tell whether a state dict with these keys is of this format."""
        return any(key.startswith(('clip.visual.', 'clip.transformer.')) for key in keys)

    def ignores(self, key: str) -> bool:
        """Tell whether a key is one of the sizes beside the weights."""
        return key in _SIZES

    def to_ours(self, state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Take the wrapper of the shift out of the names, then rename."""
        plain = {_unwrapped(key): tensor for key, tensor in state_dict.items()}
        if any(key.startswith('lstm_visual.') for key in plain):
            plain.pop(_POSITIONS, None)
        return super().to_ours(plain)

    def from_ours(self, tensors: Mapping[str, Tensor], config: dict) -> dict[str, Tensor]:
        """Rename, and wrap the attention of the blocks that shift."""
        shifting = config['backbone']['shift_layers']

        def wrap(found: re.Match[str]) -> str:
            prefix, block, attn, rest = found.groups()
            return f'{prefix}{block}{attn}{"net." if int(block) in shifting else ""}{rest}'

        return {
            _VISION_ATTENTION.sub(wrap, key): tensor
            for key, tensor in super().from_ours(tensors, config).items()
        }

    def our_name(self, key: str) -> str | None:
        """A key of this format as this package calls it, or None for an unknown one."""
        return super().our_name(_unwrapped(key))

    def shift_layers(self, state_dict: Mapping[str, Tensor]) -> tuple[int, ...]:
        """Blocks whose attention is wrapped."""
        found = (_SHIFTED.fullmatch(key) for key in state_dict)
        return tuple(sorted({int(match[2]) for match in found if match}))


def _unwrapped(key: str) -> str:
    return _SHIFTED.sub(r'\1\2\3\4', key)
