"""A cached batch gives loss, gradients and weights of a plain step with the whole batch."""

import copy
import random
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner
from tiny import model_config
from torch import nn
from torch.utils.data import Dataset

from ts2net_mm.engine.cached_batch import CachedStep
from ts2net_mm.engine.resuming import random_states
from ts2net_mm.models import TS2Net
from ts2net_mm.models.layers import perturbed_topk

VIDEOS = 7  # chunks of 3 leave one
BERT_ADAM = dict(type='BertAdam', lr=1e-4)

pytestmark = pytest.mark.filterwarnings('ignore:.*GradScaler')  # MMEngine's old spelling of it


class RandomVideos(Dataset):
    """Videos of 1 to 3 frames, each with a sentence."""

    metainfo: dict = {}

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        text = torch.randint(1, 49, (1, 8), generator=generator)
        text[:, -1] = 49  # end of text
        imgs = torch.randint(256, (3, 3, 32, 32), generator=generator, dtype=torch.uint8)
        inputs = dict(imgs=imgs, text=text, frame_mask=torch.arange(3) <= index % 3)
        return dict(inputs=inputs, data_samples=ActionDataSample(metainfo=dict(video_id=index)))


def draw_batch(number: int) -> dict:
    items = [RandomVideos(100)[number * VIDEOS + index] for index in range(VIDEOS)]
    inputs = {key: [item['inputs'][key] for item in items] for key in items[0]['inputs']}
    return dict(inputs=inputs, data_samples=[item['data_samples'] for item in items])


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def device(request, monkeypatch) -> str:
    if request.param == 'cuda' and not torch.cuda.is_available():
        pytest.skip('needs a GPU')
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    return request.param


def build(device: str, change: Callable[[dict], None] | None = None) -> TS2Net:
    torch.manual_seed(0)
    config = model_config()
    if change:
        change(config)
    network = MODELS.build(config)
    network.init_weights()
    return network.to(device).train()


@pytest.fixture
def network(device) -> TS2Net:
    return build(device)


@pytest.fixture
def by_frame(monkeypatch) -> None:
    """Selection noise that does not depend on the size of the chunks."""
    script = runpy.run_path(str(Path(__file__).with_name('train_shard.py')))
    monkeypatch.setattr(perturbed_topk, 'draw_noise', script['draw_by_frame'])


def wrap(network: nn.Module, **settings) -> OptimWrapper:
    settings = (
        dict(type='OptimWrapper', optimizer=BERT_ADAM, clip_grad=dict(max_norm=1.0)) | settings
    )
    return build_optim_wrapper(network, copy.deepcopy(settings))


def train(
    network: TS2Net, wrapper: OptimWrapper, step: Callable[[dict], dict]
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses of four steps, and the gradients at the first update."""
    wrapper.initialize_count_status(network, 0, 4)
    grads: dict[str, torch.Tensor] = {}
    update = wrapper.optimizer.step

    def note_and_update(*args, **kwargs):
        grads.update(
            {
                k: p.grad.clone()
                for k, p in network.named_parameters()
                if not grads and p.grad is not None
            }
        )
        return update(*args, **kwargs)

    wrapper.optimizer.step = note_and_update
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    return [step(draw_batch(number))['loss'].item() for number in range(4)], grads


def error(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Largest relative error of a tensor."""
    assert found.keys() == expected.keys()
    return max(((found[k] - expected[k]).norm() / expected[k].norm()).item() for k in found)


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def freeze_text(network: TS2Net) -> None:
    network.text_encoder.requires_grad_(False)


def checkpoint_activations(network: TS2Net) -> None:
    network.backbone.with_cp = network.head.temporal.layers.with_cp = True
    network.text_encoder.layers.with_cp = True


@pytest.mark.parametrize(
    ('settings', 'change', 'dtype'),
    [
        (dict(), None, torch.float32),
        (dict(accumulative_counts=3), checkpoint_activations, torch.float32),
        # AdamW divides the rounding errors of gradients that are 0 by themselves
        (dict(optimizer=dict(type='AdamW', lr=1e-4)), freeze_text, torch.float64),
    ],
)
@pytest.mark.parametrize('chunk_size', [1, 3])
def test_equals_a_plain_step(network, device, by_frame, settings, change, dtype, chunk_size):
    network.to(dtype)
    if change:
        change(network)
    plain = copy.deepcopy(network)
    plain_wrapper, wrapper = wrap(plain, **settings), wrap(network, **settings)
    losses, grads = train(plain, plain_wrapper, plain_step(plain, plain_wrapper))
    states = random_states()
    step = CachedStep(network, wrapper, chunk_size=chunk_size)
    found_losses, found_grads = train(network, wrapper, step)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6 if device == 'cpu' else 1e-5
    assert found_losses == pytest.approx(losses, rel=tolerance)
    assert 'head.logit_scale' in grads
    assert error(found_grads, grads) < 10 * tolerance
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(
            network.state_dict()[name], weight, rtol=10 * tolerance, atol=tolerance, msg=name
        )
    assert_equal(random_states(), states)


def compare_words(config: dict) -> None:
    config['text_encoder']['output'] = 'words'
    config['head']['similarity'] = dict(type='TokenInteraction')
    config['head']['token_weights'] = dict(type='TokenWeights', embed_dims=16)


def test_features_of_words(device, by_frame):
    network = build(device, compare_words).double()
    plain = copy.deepcopy(network)
    wrappers = wrap(plain), wrap(network)
    losses, grads = train(plain, wrappers[0], plain_step(plain, wrappers[0]))
    step = CachedStep(network, wrappers[1], chunk_size=3)
    found_losses, found_grads = train(network, wrappers[1], step)
    assert found_losses == pytest.approx(losses, rel=1e-12)
    assert any(name.startswith('head.token_weights') for name in grads)
    assert error(found_grads, grads) < 1e-10


def plain_step(network: TS2Net, wrapper: OptimWrapper) -> Callable[[dict], dict]:
    return lambda data: network.train_step(data, wrapper)


def add_randomness(module: nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
    """Dropout, and factors from the other generators."""
    return F.dropout(output, 0.2) * (1 + random.random() + np.random.rand())


def test_random_numbers_are_replayed(network):
    """Compare with all chunks encoded in the same order with a graph, and one backward pass."""
    network.head.register_forward_hook(add_randomness)
    network.text_encoder.layers[0].register_forward_hook(add_randomness)
    connected = copy.deepcopy(network)
    wrapper, connected_wrapper = wrap(network), wrap(connected)

    def step(data):
        features = []
        for start in range(0, VIDEOS, 3):
            chunk = {k: v[start : start + 3] for k, v in data['inputs'].items()}
            inputs = connected.data_preprocessor(dict(inputs=chunk), True)['inputs']
            features.append((*connected(inputs), inputs['frame_mask']))
        videos, texts, masks = (torch.cat(parts) for parts in zip(*features, strict=True))
        loss, log_vars = connected.parse_losses(connected.head.loss(texts, videos, masks))
        connected_wrapper.update_params(loss)
        return log_vars

    losses, grads = train(connected, connected_wrapper, step)
    states = random_states()
    found, found_grads = train(network, wrapper, CachedStep(network, wrapper, chunk_size=3))
    assert found == pytest.approx(losses, rel=1e-6)
    assert error(found_grads, grads) < 1e-5
    assert_equal(random_states(), states)


def test_mixed_precision(network, device, by_frame, monkeypatch):
    """The same loss as a plain step in that precision, and gradients within 1 %."""
    if device == 'cpu' and torch.cuda.is_available():
        pytest.skip('autocast would cover the GPU only')
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    dtype = 'float16' if device == 'cuda' else 'bfloat16'
    settings = dict(type='AmpOptimWrapper', dtype=dtype, loss_scale=dict(enabled=False))
    plain = copy.deepcopy(network)
    plain_wrapper, wrapper = wrap(plain, **settings), wrap(network, **settings)
    for scaled in (plain_wrapper, wrapper):
        scaled.loss_scaler = torch.amp.GradScaler(device, init_scale=2.0**10)
    losses, grads = train(plain, plain_wrapper, plain_step(plain, plain_wrapper))
    found, found_grads = train(network, wrapper, CachedStep(network, wrapper, chunk_size=3))
    assert found[0] == pytest.approx(losses[0], rel=1e-5)
    assert found == pytest.approx(losses, rel=1e-2)
    assert error(found_grads, grads) < 1e-2
    assert all(grad.norm() <= 1 for grad in found_grads.values())  # clipped after unscaling


class Kept:
    """A tensor that is kept for the backward pass; counts how many there are at a time."""

    alive = most = 0

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor.detach()
        Kept.alive += 1
        Kept.most = max(Kept.most, Kept.alive)

    def __del__(self) -> None:
        Kept.alive -= 1


def test_no_chunk_is_kept_while_another_is_encoded(network):
    counts = []
    for chunk_size in (VIDEOS, 1):
        step = CachedStep(network, wrap(network), chunk_size=chunk_size)
        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            step(draw_batch(0))
        assert Kept.alive == 0
        counts.append(Kept.most)
        Kept.most = 0
    assert 0 < counts[1] <= counts[0]


class Statistics(nn.Module):
    """A module that counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('calls', torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x


def test_batch_statistics_are_refused(network):
    step = CachedStep(network, wrap(network), chunk_size=3)
    network.text_encoder.proj = nn.Sequential(network.text_encoder.proj, nn.BatchNorm1d(16))
    with pytest.raises(ValueError, match=r'text_encoder\.proj\.1 computes statistics of a batch'):
        step(draw_batch(0))
    network.text_encoder.proj[1].eval()
    step(draw_batch(0))
    network.text_encoder.proj[1] = Statistics()
    with pytest.raises(ValueError, match=r'forward pass changes text_encoder\.proj\.1\.calls'):
        step(draw_batch(0))


def test_unsuitable_arguments(network):
    with pytest.raises(TypeError, match='needs a TS2Net, not Linear'):
        CachedStep(nn.Linear(1, 1), wrap(network), chunk_size=3)
    with pytest.raises(ValueError, match='chunk_size=0 must be positive'):
        CachedStep(network, wrap(network), chunk_size=0)
    with pytest.raises(ValueError, match='cannot replay random numbers of the device meta'):
        CachedStep(copy.deepcopy(network).to('meta'), wrap(network), chunk_size=3)
    data = draw_batch(0)
    data['inputs']['text'][0] = data['inputs']['text'][0].expand(2, -1)
    with pytest.raises(ValueError, match='found 8 texts for 7 videos'):
        CachedStep(network, wrap(network), chunk_size=3)(data)


@pytest.fixture
def run(network, tmp_path, quick_runs) -> Callable[..., tuple[dict, str]]:
    """Function that trains two epochs of two batches; it returns the weights and the log."""

    def train_in(folder: str, *, chunk_size: int | None = 2, load_from: Path | None = None):
        loop = dict(type='CachedBatchTrainLoop', chunk_size=chunk_size)
        if chunk_size is None:
            loop = dict(type='ResumableTrainLoop')
        runner = Runner(
            model=copy.deepcopy(network),
            work_dir=str(tmp_path / folder),
            train_dataloader=dict(
                dataset=RandomVideos(10), batch_size=5, sampler=dict(type='DefaultSampler')
            ),
            train_cfg=dict(loop, max_epochs=2),
            optim_wrapper=dict(type='OptimWrapper', optimizer=BERT_ADAM),
            default_hooks=dict(
                checkpoint=dict(type='ResumableCheckpointHook', by_epoch=False, interval=1)
            ),
            randomness=dict(seed=0),
            resume=load_from is not None,
            load_from=load_from and str(load_from),
            experiment_name=str(tmp_path / folder),
            default_scope='mmaction',
        )
        runner.train()
        log = next((tmp_path / folder).rglob('*.log')).read_text()
        return runner.model.state_dict(), log

    return train_in


def test_resumed_run_is_bit_identical(run, tmp_path):
    """From a checkpoint inside an epoch; with other chunks it warns."""
    straight, log = run('straight')
    assert 'global batch 5 (processes 1 x videos 5), chunk_size 2' in log
    resumed, log = run('resumed', load_from=tmp_path / 'straight/iter_1.pth')
    assert 'chunk_size was' not in log
    assert_equal(resumed, straight)
    _, log = run('other', chunk_size=3, load_from=tmp_path / 'straight/iter_1.pth')
    assert 'chunk_size was 2 and is now 3' in log
    _, log = run('plain', chunk_size=None, load_from=tmp_path / 'straight/iter_1.pth')
    assert 'chunk_size was 2 and is now None' in log
