"""Models that torch.export, torch.jit.trace and torch.compile record."""

import copy
import io

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

SIZES = ((2, 4), (3, 4), (1, 4), (3, 4))  # videos and frames of the calls


class Method(nn.Module):
    """A method of a model, in the form that the tracers accept."""

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model = model
        self.name = name

    def forward(self, *inputs: Tensor) -> Tensor:
        return getattr(self.model, self.name)(*inputs)


VARIANTS = {
    'fixed_noise': {},
    'hard': dict(neck=dict(test_mode='hard')),
    'random': dict(
        backbone=dict(shift=dict(type='RandomTokenShift', num_shift_tokens=4)),
        neck=dict(type='FixedSelection', _delete_=True),
    ),
    'attention': dict(
        backbone=dict(shift=dict(type='ChannelShift', tokens='patches')),
        neck=dict(type='FixedSelection', rule='attention', _delete_=True),
    ),
    'video': dict(
        backbone=dict(backward_offset=None), neck=dict(context='video', candidates='all')
    ),
}


@pytest.fixture(params=VARIANTS)
def model(request, tiny_config):
    torch.manual_seed(0)
    config = Config(tiny_config)
    config.merge_from_dict(copy.deepcopy(VARIANTS[request.param]))
    model = MODELS.build(config.to_dict())
    model.init_weights()
    return model.eval().requires_grad_(False)


def draw_videos(num_videos: int, num_frames: int) -> tuple[Tensor, Tensor]:
    """Videos of which the first is short."""
    mask = torch.ones(num_videos, num_frames, dtype=torch.bool)
    mask[0, num_frames // 2 :] = False
    imgs = torch.randn(num_videos, num_frames, 3, 32, 32)
    return imgs * mask[:, :, None, None, None], mask


def draw_text(num_texts: int) -> Tensor:
    return torch.randint(0, 50, (num_texts, 12))


def check(traced, model, sizes=SIZES):
    for size in sizes:
        imgs, mask = draw_videos(*size)
        torch.testing.assert_close(traced(imgs, mask), model.encode_video(imgs, mask))


def check_text(traced, model):
    for num_texts in (2, 5, 1, 5):
        text = draw_text(num_texts)
        torch.testing.assert_close(traced(text), model.encode_text(text))


@pytest.mark.slow
def test_exported_video_encoder(model):
    batch, frames = torch.export.Dim('batch'), torch.export.Dim('frames', min=3, max=6)
    program = torch.export.export(
        Method(model, 'encode_video'),
        draw_videos(2, 4),
        dynamic_shapes=(({0: batch, 1: frames},) * 2,),
    )
    check(program.module(), model, sizes=(*SIZES, (2, 6), (1, 3)))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    check(torch.export.load(file).module(), model)


def test_exported_text_encoder(tiny_model):
    shapes = (({0: torch.export.Dim('batch')},),)
    method = Method(tiny_model, 'encode_text')
    program = torch.export.export(method, (draw_text(2),), dynamic_shapes=shapes)
    check_text(program.module(), tiny_model)


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning', 'ignore:.*torch.jit')
def test_jit_traced_video_encoder(model):
    check(torch.jit.trace(Method(model, 'encode_video'), draw_videos(2, 4)), model)


@pytest.mark.slow
def test_compiled_in_one_graph(model):
    torch.compiler.reset()
    check(torch.compile(model.encode_video, fullgraph=True, backend='eager'), model)


@pytest.mark.slow
def test_text_encoder_compiled_in_one_graph(tiny_model):
    torch.compiler.reset()
    compiled = torch.compile(tiny_model.encode_text, fullgraph=True, backend='eager')
    check_text(compiled, tiny_model)
