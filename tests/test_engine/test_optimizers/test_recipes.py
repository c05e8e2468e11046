"""What the optimiser settings of the two recipes amount to."""

import importlib.util
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import AmpOptimWrapper, OptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner

ROOT = Path(__file__).parents[3]
RELEASED = ROOT / 'configs' / 'ts2net_msrvtt.py'
ADAMW = ROOT / 'configs' / 'ts2net_adamw_msrvtt.py'
pytestmark = pytest.mark.filterwarnings('ignore:.*GradScaler')  # MMEngine's old spelling of it
RECIPES = pytest.mark.parametrize('path', [RELEASED, ADAMW], ids=lambda path: path.stem)


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


def test_adamw_chooses_its_precision_by_the_machine(read):
    assert read(ADAMW, gpu=False).optim_wrapper.type == 'OptimWrapper'
    wrapper = read(ADAMW, gpu=True).optim_wrapper
    assert (wrapper.type, wrapper.dtype) == ('AmpOptimWrapper', 'bfloat16')


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


def merge_arguments(cfg: Config, **given: object) -> None:
    """Do with a config what tools/train.py does."""
    spec = importlib.util.spec_from_file_location('train', ROOT / 'tools' / 'train.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.has_accelerator = lambda: True
    arguments = vars(tool.build_parser().parse_args([str(ADAMW)]))
    tool.merge_arguments(cfg, Namespace(**arguments | given))


@pytest.mark.parametrize(
    ('path', 'gpu', 'dtype'),
    [(RELEASED, True, None), (ADAMW, False, None), (ADAMW, True, torch.bfloat16)],
)
def test_amp(path, gpu, dtype, model, read):
    """--amp means torch's default, fp16 with a loss scale, unless the config has a precision."""
    cfg = read(path, gpu=gpu)
    merge_arguments(cfg, amp=True)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert isinstance(wrapper, AmpOptimWrapper)
    assert wrapper.cast_dtype == dtype


@RECIPES
def test_auto_scale_lr(path, model, read):
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
