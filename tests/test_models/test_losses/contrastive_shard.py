"""One of two processes that share a batch: python contrastive_shard.py FOLDER RANK.

FOLDER holds the batch and the weights, and gets what this process computes.
"""

import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import ts2net_mm  # noqa: F401  (makes MMAction2 importable)
from ts2net_mm.models import FrameWeightedSimilarity, SymmetricContrastiveLoss
from ts2net_mm.models.losses.contrastive_loss import gather_with_gradient


class TwoTowers(nn.Module):
    """A linear layer a modality and a logit scale, with the loss."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.text_layer = nn.Linear(6, 5, bias=False)
        self.video_layer = nn.Linear(6, 5, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(0.0))
        self.load_state_dict(weights)
        self.cosines = FrameWeightedSimilarity()
        self.criterion = SymmetricContrastiveLoss()

    def forward(self, text: Tensor, video: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        def similarity(text, video, mask):
            return self.logit_scale.exp() * self.cosines(text, video, mask)

        return self.criterion(
            similarity, self.text_layer(text), self.video_layer(video), frame_mask
        )


def run(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Loss, and gradients of the parameters and of the inputs."""
    text, video = (batch[key].clone().requires_grad_() for key in ('text', 'video'))
    losses = model(text, video, batch['frame_mask'])
    sum(losses.values()).backward()
    module = getattr(model, 'module', model)
    found = {key: value.detach() for key, value in losses.items()}
    found |= {f'grad {name}': p.grad for name, p in module.named_parameters()}
    return found | {'grad of text': text.grad, 'grad of video': video.grad}


def gather_a_sum(rank: int) -> tuple[Tensor, Tensor]:
    """Gradients of two gathered tensors whose sum is used, as autograd shares its gradient."""
    first, second = (torch.zeros(2, 3, requires_grad=True) for _ in range(2))
    total = gather_with_gradient(first) + gather_with_gradient(second)
    (total * torch.arange(12.0).view(4, 3) * (1 + 10 * rank)).sum().backward()
    return first.grad, second.grad


def main() -> None:
    folder, rank = sys.argv[1], int(sys.argv[2])
    dist.init_process_group('gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2)
    saved = torch.load(f'{folder}/batch.pt')
    model = DistributedDataParallel(TwoTowers(saved['weights']))
    size = len(saved['batch']['text']) // 2
    shard = {key: value[rank * size :][:size] for key, value in saved['batch'].items()}
    found = run(model, shard)
    found['order'] = gather_with_gradient(torch.tensor([rank, rank + 10]))
    found['first'], found['second'] = gather_a_sum(rank)
    torch.save(found, f'{folder}/rank{rank}.pt')
    dist.barrier()
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
