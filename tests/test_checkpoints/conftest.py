"""Small CLIPs of the libraries whose files are read, with random weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn

DATA = Path(__file__).parents[1] / 'data'
# CLIP's heads have 64 channels: two in the ViT, one in the text encoder
VISION = dict(width=128, layers=2, image_size=32, patch_size=8)
TEXT = dict(width=64, layers=3, context_length=12, vocab_size=60)
EMBED_DIMS = 48


def randomise(model: nn.Module) -> nn.Module:
    """Give every tensor values of its own, also those that start as zeros or ones."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def load_arrays(name: str) -> dict[str, Tensor]:
    with np.load(DATA / name) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


@pytest.fixture
def released() -> dict[str, Tensor]:
    """TS2-Net weights of the reference, under the released names."""
    return load_arrays('tiny_released_weights.npz')


@pytest.fixture
def unused() -> dict[str, Tensor]:
    """The ten tensors that the released model saves but never reads."""
    return load_arrays('released_unused.npz')


@pytest.fixture
def open_clip_model() -> Callable[..., nn.Module]:
    """Function that builds open_clip's CLIP."""

    def build(*, quick_gelu: bool = True, head_width: int = 64) -> nn.Module:
        model = open_clip.model.CLIP(
            embed_dim=EMBED_DIMS,
            vision_cfg=dict(VISION, head_width=head_width),
            text_cfg=dict(TEXT, heads=TEXT['width'] // head_width),
            quick_gelu=quick_gelu,
        )
        return randomise(model)

    return build


@pytest.fixture
def hugging_face_model() -> Callable[..., nn.Module]:
    """Function that builds transformers' CLIPModel."""
    transformers = pytest.importorskip('transformers')

    def build(**settings) -> nn.Module:
        sizes = [
            dict(
                hidden_size=part['width'],
                intermediate_size=4 * part['width'],
                num_hidden_layers=part['layers'],
                num_attention_heads=part['width'] // 64,
                **settings,
            )
            for part in (VISION, TEXT)
        ]
        config = transformers.CLIPConfig(
            vision_config=dict(sizes[0], image_size=32, patch_size=8),
            text_config=dict(
                sizes[1],
                vocab_size=60,
                max_position_embeddings=12,
                bos_token_id=58,
                eos_token_id=59,
            ),
            projection_dim=EMBED_DIMS,
        )
        return randomise(transformers.CLIPModel(config))

    return build


@pytest.fixture
def openai(open_clip_model) -> dict[str, Tensor]:
    """A state dict as OpenAI's: matrices in fp16, the rest in fp32, and three sizes."""
    weights = {}
    for key, tensor in open_clip_model().state_dict().items():
        halved = key.endswith(('proj', 'conv1.weight')) or any(
            name in key for name in ('.attn.', '.mlp.')
        )
        weights[key] = tensor.half() if halved else tensor
    sizes = dict(input_resolution=32, context_length=12, vocab_size=60)
    return weights | {key: torch.tensor(size) for key, size in sizes.items()}


@pytest.fixture
def clip4clip(openai) -> Callable[[str], dict[str, Tensor]]:
    """Function that makes a CLIP4Clip checkpoint: a CLIP, and what the kind adds to it."""

    def make(kind: str) -> dict[str, Tensor]:
        sizes = ('input_resolution', 'context_length', 'vocab_size')
        weights = {f'clip.{key}': t for key, t in openai.items() if key not in sizes}
        torch.manual_seed(2)
        if kind == 'meanP':
            return weights
        weights['frame_position_embeddings.weight'] = torch.randn(12, EMBED_DIMS)
        if kind == 'seqLSTM':
            lstm = nn.LSTM(EMBED_DIMS, EMBED_DIMS, batch_first=True).state_dict()
            return weights | {f'lstm_visual.{key}': tensor for key, tensor in lstm.items()}
        blocks = open_clip.transformer.Transformer(EMBED_DIMS, 2, 1, 4.0).state_dict()
        return weights | {
            f'transformerClip.{key}': 0.1 * torch.randn_like(tensor)
            for key, tensor in blocks.items()
        }

    return make


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Images and texts whose last word has the largest id."""
    torch.manual_seed(1)
    text = torch.randint(1, 58, (4, 12))
    text[torch.arange(4), torch.tensor([3, 11, 5, 7])] = 59
    text[:, 0] = 58
    ends = text.argmax(dim=1)
    text[torch.arange(12) > ends[:, None]] = 0
    return torch.randn(4, 3, 32, 32), text


class Holder(nn.Module):
    """Parameters and buffers under given names."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        children: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            head, _, rest = key.partition('.')
            if rest:
                children.setdefault(head, {})[rest] = tensor
            elif tensor.is_floating_point():
                self.register_parameter(head, nn.Parameter(tensor))
            else:
                self.register_buffer(head, tensor)
        for name, part in children.items():
            self.add_module(name, Holder(part))


@pytest.fixture
def save_torchscript() -> Callable[[dict[str, Tensor], Path], None]:
    """Function that saves tensors as the parameters of a TorchScript module."""

    def save(tensors: dict[str, Tensor], path: Path) -> None:
        torch.jit.script(Holder(tensors)).save(str(path))

    return save
