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

import ts2net_mm  # noqa: F401  (registers the parts)
from ts2net_mm.checkpoints import config_from_state_dict, convert_state_dict
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


def share_noise(rank: int, world_size: int) -> None:
    """Draw the noise of the whole batch in each process, and use the rows of this process."""
    generator = torch.Generator().manual_seed(0)

    def draw(shape, *, device, dtype, generator=generator):
        whole = torch.randn((shape[0] * world_size, *shape[1:]), dtype=dtype, generator=generator)
        return whole[rank * shape[0] :][: shape[0]]

    perturbed_topk.draw_noise = draw


def train(saved: dict, accumulative_counts: int, rank: int = 0, world_size: int = 1) -> dict:
    """Losses, the gradients at the first update, and the trained weights."""
    init_default_scope('mmaction')
    share_noise(rank, world_size)
    network = build(saved['weights'])
    recipe = Config.fromfile(RECIPE).optim_wrapper
    recipe.accumulative_counts = accumulative_counts
    recipe.paramwise_cfg.update(fp16_arithmetic=False, clip_lr_mult=0.1)
    wrapper = build_optim_wrapper(network, recipe)
    model = network if world_size == 1 else MMDistributedDataParallel(network, device_ids=None)
    wrapper.initialize_count_status(model, 0, len(saved['batches']))
    found: dict = dict(losses=[], gradients={})
    step = wrapper.step

    def step_and_note(**kwargs):
        found['gradients'] = found['gradients'] or {
            name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None
        }
        step(**kwargs)

    wrapper.step = step_and_note
    for batch in saved['batches']:
        size = len(batch['text']) // world_size
        shard = {key: value[rank * size :][:size] for key, value in batch.items()}
        with wrapper.optim_context(model):
            losses = model(shard, mode='loss')
        loss = sum(losses.values())
        found['losses'].append(loss.item())
        wrapper.update_params(loss)
    return found | dict(weights=network.state_dict())


def main() -> None:
    folder, rank, world_size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/init', rank=rank, world_size=world_size
    )
    saved = torch.load(f'{folder}/saved.pt')
    found = {counts: train(saved, counts, rank, world_size) for counts in (1, 2)}
    torch.save(found, f'{folder}/rank{rank}.pt')
    dist.barrier()
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
