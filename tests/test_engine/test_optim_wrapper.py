"""The parameter groups of the release, and the optimiser settings of the two recipes."""

import re
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import AmpOptimWrapper, OptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner
from torch import nn

from ts2net_mm.checkpoints.formats import FORMATS
from ts2net_mm.engine import CLIPOptimWrapperConstructor

ROOT = Path(__file__).parents[2]
RELEASED = ROOT / 'configs' / 'ts2net_msrvtt.py'
ADAMW = ROOT / 'configs' / 'ts2net_adamw_msrvtt.py'
pytestmark = pytest.mark.filterwarnings('ignore:.*GradScaler')  # MMEngine's old spelling of it
BERT_ADAM = dict(type='BertAdam', lr=1e-4, weight_decay=0.2)
# the release's halved tensors: CLIP's convolution, attention, MLP and projection weights and biases
RELEASED_FP16 = re.compile(
    r'clip\..*(conv1\.weight|in_proj_(weight|bias)|(out_proj|c_fc|c_proj)\.(weight|bias)|'
    r'visual\.proj|text_projection)$'
)


def build(model: nn.Module, optimizer: dict = BERT_ADAM, **paramwise) -> OptimWrapper:
    cfg = dict(type='OptimWrapper', optimizer=dict(optimizer), clip_grad=dict(max_norm=1.0))
    return CLIPOptimWrapperConstructor(cfg, paramwise)(model)


def settings_by_name(model: nn.Module, wrapper: OptimWrapper) -> dict[str, dict]:
    """The group of each trained parameter."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {}
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            assert names[parameter] not in found
            found[names[parameter]] = group
    return found


@pytest.mark.parametrize('fp16_arithmetic', [False, True])
def test_groups_of_the_release(model, released_weights, fp16_arithmetic):
    """As the release decides from its own names and modules, for each of its tensors."""
    groups = settings_by_name(model, build(model, fp16_arithmetic=fp16_arithmetic))
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert len(frozen) == 7
    checked = set()
    for key in released_weights:
        name = FORMATS['released'].target_key(key)
        if name in frozen:
            assert name not in groups
            continue
        group = groups[name]
        assert group['lr'] == pytest.approx(1e-7 if key.startswith('clip.') else 1e-4), key
        assert group['weight_decay'] == (0.0 if 'bias' in key else 0.2), key
        halved = fp16_arithmetic and RELEASED_FP16.match(key) is not None
        assert group['fp16_arithmetic'] == halved, key
        checked.add(name)
    assert checked == set(groups)


@pytest.mark.parametrize('prefixes', ['text_encoder.', ['text_encoder.']])
def test_prefixes(model, prefixes):
    groups = settings_by_name(model, build(model, clip_prefixes=prefixes, clip_lr_mult=0))
    for name, group in groups.items():
        assert group['lr'] == (0 if name.startswith('text_encoder.') else 1e-4)


def test_model_without_clip(log_records):
    stand_in = nn.Conv2d(1, 1, 1)
    groups = settings_by_name(stand_in, build(stand_in, clip_lr_mult=0))
    assert {group['lr'] for group in groups.values()} == {1e-4}
    assert any('Conv2d has no parameter of backbone.' in r.getMessage() for r in log_records)


def test_wrapped_model(model):
    wrapped = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = model
    groups = settings_by_name(model, build(wrapped))
    assert groups['backbone.ln1.weight']['lr'] == pytest.approx(1e-7)


@pytest.mark.parametrize(
    ('optimizer', 'paramwise', 'message'),
    [
        (BERT_ADAM, dict(clip_prefixes=('backbone.', 'visual.')), "no parameter .* 'visual.'"),
        (BERT_ADAM, dict(decay=1), r"unknown keys \['decay'\]; known are clip_lr_mult"),
        (dict(type='BertAdam'), {}, r"\{'type': 'BertAdam'\} has no lr"),
        (
            dict(type='AdamW', lr=1),
            dict(fp16_arithmetic=True),
            'fp16_arithmetic, which AdamW lacks',
        ),
    ],
)
def test_bad_settings(model, optimizer, paramwise, message):
    with pytest.raises(ValueError, match=message):
        build(model, optimizer, **paramwise)


def test_groups_are_logged(model, log_records):
    build(model, fp16_arithmetic=True)
    (table,) = (m for r in log_records if (m := r.getMessage()).startswith('parameters'))
    header, *rows = (re.split(r'\s{2,}', line) for line in table.splitlines())
    assert header == ['parameters', 'lr', 'decay', 'arithmetic', 'tensors', 'weights']
    sizes = {tuple(row[:4]): (int(row[4]), int(row[5].replace(',', ''))) for row in rows}
    frozen = [p.numel() for p in model.parameters() if not p.requires_grad]
    assert sizes['frozen', '-', '-', '-'] == (7, sum(frozen))
    total = sum(p.numel() for p in model.parameters())
    assert sum(weights for _, weights in sizes.values()) == total
    assert {key[:2] for key in sizes} == {('frozen', '-'), ('CLIP', '1e-07'), ('new', '0.0001')}


def summarise(path: Path) -> dict[tuple, tuple[int, int]]:
    """Tensors and weights that share a rate, a decay and an arithmetic, at full size."""
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    return {
        (round(group['lr'], 12), group['weight_decay'], group.get('fp16_arithmetic')): (
            len(group['params']),
            sum(parameter.numel() for parameter in group['params']),
        )
        for group in groups
    }


def test_groups_of_the_released_recipe():
    """12 blocks of four matrices in both encoders and two projections are halved; no norm is."""
    assert summarise(RELEASED) == {
        (1e-7, 0.2, True): (2 * 12 * 4 + 2, 123_338_752),
        (1e-7, 0.0, True): (2 * 12 * 4, 138_240),
        (1e-7, 0.2, False): (2 * (12 * 2 + 1) + 1, 32_001),
        (1e-7, 0.0, False): (2 * (12 * 2 + 1), 32_000),
        (1e-4, 0.2, False): (29, 12_889_344),
        (1e-4, 0.0, False): (25, 23_040),
    }


def test_groups_of_adamw():
    """Only matrices are decayed."""
    assert summarise(ADAMW) == {
        (2e-6, 0.05, None): (2 * 12 * 4 + 2, 123_338_752),
        (2e-6, 0.0, None): (2 * 12 * 4 + 4 * (12 * 2 + 1) + 1, 202_241),
        (2e-5, 0.05, None): (4 * 4 + 3, 12_845_312),
        (2e-5, 0.0, None): (4 * 8 + 1 + 2, 67_072),
    }


@pytest.fixture
def read(monkeypatch):
    """Read a config as a machine with or without a GPU does, and let AmpOptimWrapper be built."""

    def read_config(path: Path, *, gpu: bool) -> Config:
        with monkeypatch.context() as patch:
            patch.setattr(torch.cuda, 'is_available', lambda: gpu)
            return Config.fromfile(path)

    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    return read_config


@pytest.mark.skipif(torch.cuda.is_available(), reason='autocast would cover the GPU only')
def test_adamw_step_in_bf16(model, read):
    """Autocast to bf16 runs on the CPU, too; the weights and their updates stay in fp32."""
    wrapper = build_optim_wrapper(model.train(), read(ADAMW, gpu=True).optim_wrapper)
    assert isinstance(wrapper, AmpOptimWrapper)
    inputs = dict(imgs=torch.rand(2, 3, 3, 56, 56), text=torch.randint(1, 600, (2, 8)))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with wrapper.optim_context(model):
        assert model.text_encoder(inputs['text']).dtype == torch.bfloat16
        loss = sum(model.loss(inputs).values())
    wrapper.update_params(loss)
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.isfinite(parameter).all()
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


@pytest.fixture
def merge_arguments(load_tool):
    """Function that merges arguments of tools/train.py into a config."""
    tool = load_tool('train.py')
    tool.has_accelerator = lambda: True

    def merge(cfg: Config, **given: object) -> None:
        arguments = vars(tool.build_parser().parse_args([str(ADAMW)]))
        tool.merge_arguments(cfg, Namespace(**arguments | given))

    return merge


@pytest.mark.parametrize(
    ('path', 'gpu', 'dtype'),
    [(RELEASED, True, None), (ADAMW, False, None), (ADAMW, True, torch.bfloat16)],
)
def test_amp(path, gpu, dtype, model, read, merge_arguments):
    """--amp means torch's default, fp16 with a loss scale, unless the config has a precision."""
    cfg = read(path, gpu=gpu)
    merge_arguments(cfg, amp=True)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert isinstance(wrapper, AmpOptimWrapper)
    assert wrapper.cast_dtype == dtype


@pytest.mark.parametrize('path', [RELEASED, ADAMW], ids=lambda path: path.stem)
def test_auto_scale_lr(path, model, read, merge_arguments):
    cfg = read(path, gpu=False)
    merge_arguments(cfg, auto_scale_lr=True)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert type(wrapper) is OptimWrapper
    rates = [group['lr'] for group in wrapper.optimizer.param_groups]
    runner = SimpleNamespace(
        _train_dataloader=cfg.train_dataloader,
        world_size=2,
        logger=MMLogger.get_current_instance(),
        param_schedulers=None,
    )
    Runner.scale_lr(runner, wrapper, cfg.auto_scale_lr)
    scaled = [group['lr'] for group in wrapper.optimizer.param_groups]
    assert scaled == pytest.approx([rate * 2 * 16 / 128 for rate in rates])
