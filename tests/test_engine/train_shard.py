"""A process of a distributed training: python train_shard.py FOLDER RANK WORLD_SIZE.

FOLDER has weights and batches; the result of this process is written there.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

import ts2net_mm  # noqa: F401  (registers the parts)
from ts2net_mm.checkpoints import config_from_state_dict, convert_state_dict
from ts2net_mm.engine.cached_batch import CachedStep
from ts2net_mm.models.layers import perturbed_topk

RECIPE = Path(__file__).parents[2] / 'configs' / 'ts2net_msrvtt.py'


def build(weights: dict[str, Tensor]) -> torch.nn.Module:
    """The tiny released model in fp64, so that only the arithmetic itself can differ."""
    config = config_from_state_dict(weights)
    for part in ('backbone', 'text_encoder'):
        config[part]['frozen_stages'] = 1
    model = MODELS.build(config)
    model.load_state_dict(convert_state_dict(weights))
    return model.double().train()


def draw_by_frame(shape, *, device, dtype, generator=None):
    """Noise that is the same however the frames are split, from torch's global generator."""
    seeds = torch.randint(2**62, (shape[0],)).tolist()
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    noise = [torch.randn(shape[1:], dtype=dtype, generator=each) for each in generators]
    return torch.stack(noise).to(device)


def train(
    saved: dict, accumulative_counts: int, rank: int = 0, world_size: int = 1, cached: bool = False
) -> dict:
    """Losses, the gradients at the first update, and the trained weights."""
    init_default_scope('mmaction')
    perturbed_topk.draw_noise = draw_by_frame
    network = build(saved['weights'])
    recipe = Config.fromfile(RECIPE).optim_wrapper
    recipe.accumulative_counts = accumulative_counts
    recipe.paramwise_cfg.update(fp16_arithmetic=False, clip_lr_mult=0.1)
    wrapper = build_optim_wrapper(network, recipe)
    found: dict = dict(losses=[], gradients={}, reductions=0)
    model = network
    if world_size > 1:
        # not needed, and harmless
        find_unused = accumulative_counts == 2
        model = MMDistributedDataParallel(
            network, device_ids=None, find_unused_parameters=find_unused
        )

        def reduce_and_count(state, bucket):
            found['reductions'] += 1
            return allreduce_hook(state, bucket)

        model.register_comm_hook(None, reduce_and_count)
    wrapper.initialize_count_status(model, 0, len(saved['batches']))
    step = wrapper.step

    def step_and_note(**kwargs):
        found['gradients'] = found['gradients'] or {
            name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None
        }
        step(**kwargs)

    wrapper.step = step_and_note
    size = len(saved['batches'][0]['text']) // world_size
    train_step = CachedStep(model, wrapper, chunk_size=size - 1 if cached else size)
    for number, batch in enumerate(saved['batches']):
        items = slice(rank * size, (rank + 1) * size)
        torch.manual_seed(number)
        torch.randint(2**62, (rank * size * batch['imgs'].shape[1],))  # the frames of lower ranks
        inputs = {key: list(value[items]) for key, value in batch.items()}
        losses = train_step(dict(inputs=inputs, data_samples=None))
        found['losses'].append(losses['loss'].item())
    return found | dict(weights=network.state_dict())


def main() -> None:
    folder, rank, world_size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/init', rank=rank, world_size=world_size
    )
    saved = torch.load(f'{folder}/saved.pt')
    found = {
        (counts, cached): train(saved, counts, rank, world_size, cached)
        for counts in (1, 2)
        for cached in (False, True)
    }
    torch.save(found, f'{folder}/rank{rank}.pt')
    dist.barrier()
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
