"""Weight formats: how each library names and lays out its tensors."""

from collections.abc import Collection

from .base import Format
from .huggingface import HuggingFace
from .mmpretrain import MMPretrainCLIP, MMPretrainViT
from .openai import OpenAI, OpenCLIP
from .ours import Ours
from .released import Released

__all__ = ['FORMATS', 'Format', 'recognise', 'unsupported']

# by the names of tools/convert_weights.py; the first that recognises a state dict has it
FORMATS: dict[str, Format] = {
    'ts2net_mm': Ours(),
    'released': Released(),
    'huggingface': HuggingFace(),
    'mmpretrain': MMPretrainCLIP(),
    'mmpretrain_vit': MMPretrainViT(),
    'openai': OpenAI(),
    'open_clip': OpenCLIP(),
}

# keys that tell a relative of CLIP which nothing here computes
_UNSUPPORTED = {
    'visual.attnpool.': "a CLIP with a ResNet; only CLIP's ViTs are supported",
    'visual.layer1.': "a CLIP with a ResNet; only CLIP's ViTs are supported",
    'visual.trunk.': "an open_clip model on timm's image encoder, which is not supported",
    'text.transformer.': 'an open_clip model with another text encoder, which is not supported',
    'visual.conv2.': "CLIP4Clip with 3D patches (linear_patch='3d'), which is not supported",
    'cross.': "CLIP4Clip's tight cross encoder (tightTransf), which is not supported",
}


def recognise(keys: Collection[str]) -> Format | None:
    """Tell the format of a state dict by its keys, or None for an unknown one."""
    return next((fmt for fmt in FORMATS.values() if fmt.recognises(keys)), None)


def unsupported(keys: Collection[str]) -> str | None:
    """Say what a state dict is, if it is a known relative of CLIP that is not supported."""
    plain = [key.removeprefix('clip.') for key in keys]
    for prefix, message in _UNSUPPORTED.items():
        if any(key.startswith(prefix) for key in plain):
            return message
    return None
