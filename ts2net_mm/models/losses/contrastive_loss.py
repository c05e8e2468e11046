"""Symmetric contrastive loss over the global batch."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as torch_dist
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor, nn

__all__ = ['SymmetricContrastiveLoss', 'gather_with_gradient']


@MODELS.register_module()
class SymmetricContrastiveLoss(nn.Module):
    """Mean of text-to-video and video-to-text cross entropy.

    Each process computes its own rows and columns. The mean of the losses of all processes is the
    loss of the global batch, and so is the gradient that DistributedDataParallel averages.

    Args:
        gradient_scale: Factor on the gradient, not on the logged loss. The gather of the released
            code divides gradients by the number of processes (8 in its scripts), which changes the
            steps of its fp16 arithmetic.

    Raises:
        ValueError: If ``gradient_scale`` is not positive.
    """

    def __init__(self, *, gradient_scale: float = 1.0) -> None:
        super().__init__()
        if gradient_scale <= 0:
            raise ValueError(f'gradient_scale={gradient_scale} must be positive')
        self.gradient_scale = gradient_scale

    def forward(
        self,
        similarity: Callable[[Tensor, Tensor, Tensor], Tensor],
        text: Tensor,
        video: Tensor,
        frame_mask: Tensor,
    ) -> dict[str, Tensor]:
        """Compare sentence i with all videos, and video i with all sentences.

        Args:
            similarity: Function of (text, video, frame_mask) that returns (N, B) logits.
            text: Sentence features, one per video.
            video: Frame features.
            frame_mask: True for the frames of the video.

        Shape:
            - text: (B, D) or (B, L, D), video: (B, T, D), frame_mask: (B, T) bool

        Returns:
            ``loss_t2v`` and ``loss_v2t``; their sum is the loss.
        """
        # the match of sentence i is video i of this process, after those of lower ranks
        first = get_rank() * len(text)
        labels = torch.arange(first, first + len(text), device=text.device)
        if get_world_size() == 1:
            rows = similarity(text, video, frame_mask)
            columns = rows.T
        else:
            all_masks = gather_with_gradient(frame_mask)
            rows = similarity(text, gather_with_gradient(video), all_masks)
            columns = similarity(gather_with_gradient(text), video, frame_mask).T
        return dict(
            loss_t2v=self._scale_gradient(F.cross_entropy(rows, labels) / 2),
            loss_v2t=self._scale_gradient(F.cross_entropy(columns, labels) / 2),
        )

    def _scale_gradient(self, loss: Tensor) -> Tensor:
        # the value of the loss, with a scaled gradient
        value = loss.detach()
        return value + self.gradient_scale * (loss - value)


class _Gather(torch.autograd.Function):
    """The tensors of all processes in rank order; the gradient is summed over all processes."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.num_rows = len(tensor)
        return torch.cat(all_gather(tensor.contiguous()))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        grad = grad.clone(memory_format=torch.contiguous_format)  # autograd may share it
        torch_dist.all_reduce(grad)
        first = get_rank() * ctx.num_rows
        return grad[first : first + ctx.num_rows]


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Concatenate the tensors of all processes, of the same shape, along the first axis.

    The gradient is that of the sum of the losses of all processes; the released code ignores the
    losses of the other processes.

    Shape:
        - tensor: (B, ...) -> (processes x B, ...), in rank order
    """
    return _Gather.apply(tensor)
