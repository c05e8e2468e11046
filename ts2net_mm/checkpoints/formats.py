"""How each library names and lays out the weights of CLIP: one table a library."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .settings import hugging_face_config

__all__ = ['FORMATS', 'Format', 'recognise', 'unsupported']


class Layout(NamedTuple):
    """How to turn a tensor of another library into this package's layout, and back."""

    ndim: int  # of the other library's tensor
    to_ours: Callable[[Tensor], Tensor]
    from_ours: Callable[[Tensor], Tensor]


SAME = Layout(-1, lambda tensor: tensor, lambda tensor: tensor)
# a projection that multiplies from the right: (in, out), where a linear layer has (out, in)
TRANSPOSED = Layout(2, lambda tensor: tensor.T.contiguous(), lambda tensor: tensor.T.contiguous())
FLAT = Layout(1, lambda tensor: tensor.view(1, 1, -1), lambda tensor: tensor.reshape(-1))
ROWS = Layout(2, lambda tensor: tensor[None], lambda tensor: tensor[0])

_Pair = tuple[str, str] | tuple[str, str, Layout]
_Rules = list[tuple[re.Pattern[str], str, Layout]]


class Format:
    """How a library names and lays out the weights of CLIP, or of a model built on CLIP.

    A subclass fills in the attributes. It overrides methods only if the library does more than
    rename and lay out tensors differently.

    Attributes:
        name: What messages call the format.
        pairs: The table: this package's key, the library's key, and its layout if it differs.
            ``{n}`` is the number of a block and ``{p}`` is weight or bias.
        prefixes: A state dict is of this format if any of its keys starts with one of these.
        ignored: Matches keys that are no weights, such as sizes saved along with them.
        unused: Keys of weights that the model they come from never reads.
        new: Prefixes of this package's keys that the format may lack, because the library's model
            has no such part.
        is_own: Whether this is the format of this package, which stores the model's config.
        image_only: Whether the weights are an image encoder without its projection and text.
        config_json: Makes the content of a ``config.json`` from a model config, for a library that
            loads folders; it states the number of heads and the activation.
    """

    name: str
    pairs: list[_Pair]
    prefixes: tuple[str, ...]
    ignored: re.Pattern[str] = re.compile(r'(?!)')
    unused: frozenset[str] = frozenset()
    new: tuple[str, ...] = ('neck.', 'head.temporal.', 'head.token_weights.')
    is_own = False
    image_only = False
    config_json: Callable[[Mapping], dict[str, Any]] | None = None

    def __init__(self) -> None:
        rules = [(pair[0], pair[1], pair[2] if len(pair) == 3 else SAME) for pair in self.pairs]
        self._to_ours = [(_pattern(source), target, layout) for target, source, layout in rules]
        self._from_ours = [(_pattern(target), source, layout) for target, source, layout in rules]

    def recognises(self, keys: Collection[str]) -> bool:
        """Tell whether a state dict with these keys is of this format."""
        return any(key.startswith(self.prefixes) for key in keys)

    def to_ours(self, state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Rename and lay out a state dict for this package; also return its unknown keys.

        Values and dtypes do not change. A tensor with an unexpected number of axes keeps its shape,
        which the comparison with the model then reports.
        """
        tensors, unknown = {}, []
        for key, tensor in state_dict.items():
            if key in self.unused or self.ignored.fullmatch(key):
                continue
            if (renamed := _rename(key, self._to_ours)) is None:
                unknown.append(key)
            else:
                target, layout = renamed
                tensors[target] = layout.to_ours(tensor) if tensor.ndim == layout.ndim else tensor
        return tensors, unknown

    def from_ours(self, tensors: Mapping[str, Tensor], config: Mapping) -> dict[str, Tensor]:
        """Rename and lay out this package's tensors for the format.

        Raises:
            ValueError: If the format has no place for some tensors; the first ten are listed.
        """
        renamed = {key: _rename(key, self._from_ours) for key in tensors}
        if homeless := [key for key, found in renamed.items() if found is None]:
            raise ValueError(
                f'{self.name} weights cannot hold {len(homeless)} of the tensors: '
                + ', '.join(homeless[:10])
            )
        return {
            found[0]: found[1].from_ours(tensors[key]) for key, found in renamed.items() if found
        }

    def shift_layers(self, state_dict: Mapping[str, Tensor]) -> tuple[int, ...]:
        """Return the blocks of the ViT that shift tokens between frames."""
        return ()

    def target_key(self, key: str) -> str | None:
        """Return this package's name for a key of the format, None for an unknown key."""
        renamed = _rename(key, self._to_ours)
        return renamed[0] if renamed else None

    def source_key(self, key: str) -> str:
        """Return the format's name for a key of this package, the same key if it has none."""
        renamed = _rename(key, self._from_ours)
        return renamed[0] if renamed else key


def _pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template)
    for name, expression in (('n', r'\d+'), ('p', 'weight|bias')):
        pattern = pattern.replace(rf'\{{{name}\}}', f'(?P<{name}>{expression})')
    return re.compile(pattern)


def _rename(key: str, rules: _Rules) -> tuple[str, Layout] | None:
    for pattern, template, layout in rules:
        if match := pattern.fullmatch(key):
            return template.format(**match.groupdict()), layout
    return None


def _blocks(target: str, source: str, *names: str) -> list[_Pair]:
    """Pairs for a stack of blocks, given the library's names inside a block."""
    ours = ('ln1', 'attn.qkv', 'attn.proj', 'ln2', 'ffn.layers.0.0', 'ffn.layers.1')
    return [
        (f'{target}.{{n}}.{a}.{{p}}', f'{source}.{{n}}.{b}{{p}}')
        for a, b in zip(ours, names, strict=True)
    ]


_OPENAI_BLOCK = ('ln_1.', 'attn.in_proj_', 'attn.out_proj.', 'ln_2.', 'mlp.c_fc.', 'mlp.c_proj.')
_OPENAI_SIZES = ('input_resolution', 'context_length', 'vocab_size')


def _openai_vision(prefix: str = '') -> list[_Pair]:
    visual = f'{prefix}visual'
    return [
        ('backbone.cls_token', f'{visual}.class_embedding', FLAT),
        ('backbone.pos_embed', f'{visual}.positional_embedding', ROWS),
        ('backbone.patch_embed.projection.weight', f'{visual}.conv1.weight'),
        ('backbone.pre_norm.{p}', f'{visual}.ln_pre.{{p}}'),
        *_blocks('backbone.layers', f'{visual}.transformer.resblocks', *_OPENAI_BLOCK),
        ('backbone.ln1.{p}', f'{visual}.ln_post.{{p}}'),
        ('backbone.proj.weight', f'{visual}.proj', TRANSPOSED),
    ]


def _openai_text(prefix: str = '') -> list[_Pair]:
    return [
        ('text_encoder.token_embedding.weight', f'{prefix}token_embedding.weight'),
        ('text_encoder.pos_embed', f'{prefix}positional_embedding'),
        *_blocks('text_encoder.layers', f'{prefix}transformer.resblocks', *_OPENAI_BLOCK),
        ('text_encoder.ln_final.{p}', f'{prefix}ln_final.{{p}}'),
        ('text_encoder.proj.weight', f'{prefix}text_projection', TRANSPOSED),
        ('head.logit_scale', f'{prefix}logit_scale'),
    ]


class OpenCLIP(Format):
    """A ViT CLIP as open_clip saves it, under OpenAI's names."""

    name = 'open_clip'
    prefixes = ('visual.transformer.', 'transformer.resblocks.')
    # sizes, and the causal mask that old files contain
    ignored = re.compile(rf'{"|".join(_OPENAI_SIZES)}|(.*\.)?attn_mask')
    pairs = [*_openai_vision(), *_openai_text()]


class OpenAI(OpenCLIP):
    """A ViT CLIP as OpenAI released it: open_clip's names, and three sizes."""

    name = 'OpenAI'

    def recognises(self, keys: Collection[str]) -> bool:
        return super().recognises(keys) and any(size in keys for size in _OPENAI_SIZES)

    def from_ours(self, tensors: Mapping[str, Tensor], config: Mapping) -> dict[str, Tensor]:
        text = config['text_encoder']
        sizes = (config['backbone']['img_size'], text['context_length'], text['vocab_size'])
        return super().from_ours(tensors, config) | {
            name: torch.tensor(size) for name, size in zip(_OPENAI_SIZES, sizes, strict=True)
        }


_HUGGING_FACE_BLOCK = (
    'layer_norm1.',
    'self_attn.qkv_proj.',
    'self_attn.out_proj.',
    'layer_norm2.',
    'mlp.fc1.',
    'mlp.fc2.',
)
_QKV = ('q_proj', 'k_proj', 'v_proj')


class HuggingFace(Format):
    """A ViT CLIP as transformers saves it; query, key and value are three tensors there."""

    name = 'Hugging Face'
    prefixes = ('vision_model.', 'text_model.')
    ignored = re.compile(r'.*\.position_ids')  # the row 0, 1, 2, ... in old files
    config_json = staticmethod(hugging_face_config)
    pairs = [
        ('backbone.cls_token', 'vision_model.embeddings.class_embedding', FLAT),
        ('backbone.pos_embed', 'vision_model.embeddings.position_embedding.weight', ROWS),
        (
            'backbone.patch_embed.projection.weight',
            'vision_model.embeddings.patch_embedding.weight',
        ),
        # "layrnorm" is transformers' spelling
        ('backbone.pre_norm.{p}', 'vision_model.pre_layrnorm.{p}'),
        *_blocks('backbone.layers', 'vision_model.encoder.layers', *_HUGGING_FACE_BLOCK),
        ('backbone.ln1.{p}', 'vision_model.post_layernorm.{p}'),
        ('backbone.proj.weight', 'visual_projection.weight'),
        (
            'text_encoder.token_embedding.weight',
            'text_model.embeddings.token_embedding.weight',
        ),
        ('text_encoder.pos_embed', 'text_model.embeddings.position_embedding.weight'),
        *_blocks('text_encoder.layers', 'text_model.encoder.layers', *_HUGGING_FACE_BLOCK),
        ('text_encoder.ln_final.{p}', 'text_model.final_layer_norm.{p}'),
        ('text_encoder.proj.weight', 'text_projection.weight'),
        ('head.logit_scale', 'logit_scale'),
    ]

    def to_ours(self, state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Concatenate query, key and value, then rename."""
        joined = dict(state_dict)
        for key in state_dict:
            parts = [key.replace('q_proj', part) for part in _QKV]
            # an incomplete triple keeps its keys, which are then reported as unknown
            if '.self_attn.q_proj.' in key and all(part in joined for part in parts):
                qkv = torch.cat([joined.pop(part) for part in parts])
                joined[key.replace('q_proj', 'qkv_proj')] = qkv
        return super().to_ours(joined)

    def from_ours(self, tensors: Mapping[str, Tensor], config: Mapping) -> dict[str, Tensor]:
        """Rename, then split query, key and value."""
        split: dict[str, Tensor] = {}
        for key, tensor in super().from_ours(tensors, config).items():
            if '.qkv_proj.' in key:
                for part, rows in zip(_QKV, tensor.chunk(3), strict=True):
                    split[key.replace('qkv_proj', part)] = rows.contiguous()
            else:
                split[key] = tensor
        return split


def _mmpretrain_vision(prefix: str) -> list[_Pair]:
    """Pairs for MMPretrain's ViT, the parent of this package's ViT."""
    blocks = ('ln1.', 'attn.qkv.', 'attn.proj.', 'ln2.', 'ffn.layers.0.0.', 'ffn.layers.1.')
    plain = ('cls_token', 'pos_embed', 'patch_embed.projection.weight', 'pre_norm.{p}', 'ln1.{p}')
    return [
        *((f'backbone.{name}', f'{prefix}{name}') for name in plain),
        *_blocks('backbone.layers', f'{prefix}layers', *blocks),
    ]


class MMPretrainCLIP(Format):
    """MMPretrain's CLIP and CLIPZeroShot: its own ViT, and OpenAI's names for the text."""

    name = 'MMPretrain CLIP'
    prefixes = ('visual.layers.', 'visual_proj.')
    ignored = re.compile('|'.join(_OPENAI_SIZES))  # MMPretrain's converter copies them
    pairs = [
        *_mmpretrain_vision('visual.'),
        ('backbone.proj.weight', 'visual_proj.proj', TRANSPOSED),
        *_openai_text(),
    ]


class MMPretrainViT(Format):
    """An image classifier on CLIP's ViT: no text, and no projection into the joint space."""

    name = 'MMPretrain CLIP-ViT'
    prefixes = ('backbone.layers.',)
    ignored = re.compile(r'(head|neck)\..*')  # the classifier
    new = ('text_encoder.', 'backbone.proj.', 'head.', 'neck.')
    image_only = True
    pairs = _mmpretrain_vision('backbone.')

    def recognises(self, keys: Collection[str]) -> bool:
        others = ('text_encoder.', 'head.logit_scale')
        return super().recognises(keys) and not any(key.startswith(others) for key in keys)


# the released code wraps the attention of a block whose tokens it shifts
_SHIFTED = re.compile(r'(clip\.visual\.transformer\.resblocks\.)(\d+)(\.attn\.)net\.(.*)')
_ATTENTION = re.compile(r'(clip\.visual\.transformer\.resblocks\.(\d+)\.attn\.)(.*)')
_POSITIONS = 'frame_position_embeddings.weight'


class Released(Format):
    """``pytorch_model.bin.N`` of TS2-Net or CLIP4Clip (meanP, seqTransf, seqLSTM)."""

    name = 'released TS2-Net'
    prefixes = ('clip.visual.', 'clip.transformer.')
    ignored = re.compile(rf'clip\.({"|".join(_OPENAI_SIZES)})')
    # TS2-Net builds a video prompt encoder and a text token selector, saves them, never calls them
    unused = frozenset(
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
    pairs = [
        *_openai_vision('clip.'),
        *_openai_text('clip.'),
        *_blocks('head.temporal.layers', 'transformerClip.resblocks', *_OPENAI_BLOCK),
        ('head.temporal.pos_embed', _POSITIONS),
        *(
            (f'head.temporal.lstm.{part}_l{{n}}', f'lstm_visual.{part}_l{{n}}')
            for part in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
        ),
        ('neck.token_mlp.{n}.{p}', 'visual_token_selector.score_predictor.in_conv.{n}.{p}'),
        ('neck.score_mlp.{n}.{p}', 'visual_token_selector.score_predictor.out_conv.{n}.{p}'),
    ]

    def to_ours(self, state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        """Unwrap the attention of shifting blocks, then rename."""
        plain = {_unwrapped(key): tensor for key, tensor in state_dict.items()}
        if any(key.startswith('lstm_visual.') for key in plain):
            plain.pop(_POSITIONS, None)  # CLIP4Clip's LSTM saves positions, but does not read them
        return super().to_ours(plain)

    def from_ours(self, tensors: Mapping[str, Tensor], config: Mapping) -> dict[str, Tensor]:
        """Rename, then wrap the attention of shifting blocks."""
        shifting = config['backbone']['shift_layers']

        def wrap(match: re.Match[str]) -> str:
            return f'{match[1]}{"net." if int(match[2]) in shifting else ""}{match[3]}'

        renamed = super().from_ours(tensors, config)
        return {_ATTENTION.sub(wrap, key): tensor for key, tensor in renamed.items()}

    def shift_layers(self, state_dict: Mapping[str, Tensor]) -> tuple[int, ...]:
        matches = (_SHIFTED.fullmatch(key) for key in state_dict)
        return tuple(sorted({int(match[2]) for match in matches if match}))

    def target_key(self, key: str) -> str | None:
        return super().target_key(_unwrapped(key))


def _unwrapped(key: str) -> str:
    return _SHIFTED.sub(r'\1\2\3\4', key)


class Ours(Format):
    """TS2-Net as this package saves it."""

    name = 'ts2net_mm'
    pairs = []
    prefixes = ('backbone.', 'text_encoder.')
    new = ()
    is_own = True

    def recognises(self, keys: Collection[str]) -> bool:
        return all(any(key.startswith(prefix) for key in keys) for prefix in self.prefixes)

    def to_ours(self, state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
        return dict(state_dict), []

    def from_ours(self, tensors: Mapping[str, Tensor], config: Mapping) -> dict[str, Tensor]:
        return dict(tensors)

    def shift_layers(self, state_dict: Mapping[str, Tensor]) -> tuple[int, ...]:
        """Guess the last two blocks where there is a token selection, as in the paper.

        The shift has no weights; checkpoints of this package state it in the config they store.
        """
        if not any(key.startswith('neck.') for key in state_dict):
            return ()
        prefix = 'backbone.layers.'
        blocks = {int(key.split('.')[2]) for key in state_dict if key.startswith(prefix)}
        return tuple(sorted(blocks)[-2:])

    def source_key(self, key: str) -> str:
        return key


# By the names that tools/convert_weights.py takes. The first that recognises a state dict wins, so
# OpenAI's stands before open_clip's, whose keys it extends.
FORMATS: dict[str, Format] = {
    'ts2net_mm': Ours(),
    'released': Released(),
    'huggingface': HuggingFace(),
    'mmpretrain': MMPretrainCLIP(),
    'mmpretrain_vit': MMPretrainViT(),
    'openai': OpenAI(),
    'open_clip': OpenCLIP(),
}
# prefixes of relatives of CLIP that this package cannot compute
_UNSUPPORTED = {
    'visual.attnpool.': "a CLIP with a ResNet; only CLIP's ViTs are supported",
    'visual.layer1.': "a CLIP with a ResNet; only CLIP's ViTs are supported",
    'visual.trunk.': "an open_clip model on timm's image encoder, which is not supported",
    'text.transformer.': 'an open_clip model with another text encoder, which is not supported',
    'visual.conv2.': "CLIP4Clip with 3D patches (linear_patch='3d'), which is not supported",
    'cross.': "CLIP4Clip's tight cross encoder (tightTransf), which is not supported",
}


def recognise(keys: Collection[str]) -> Format | None:
    """Return the format of a state dict with these keys, None for an unknown one."""
    return next((fmt for fmt in FORMATS.values() if fmt.recognises(keys)), None)


def unsupported(keys: Collection[str]) -> str | None:
    """Say what a state dict is if it is a relative of CLIP that is not supported."""
    plain = [key.removeprefix('clip.') for key in keys]
    for prefix, message in _UNSUPPORTED.items():
        if any(key.startswith(prefix) for key in plain):
            return message
    return None
