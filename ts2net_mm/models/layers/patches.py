"""Patches over several frames, the 3-d patch embedding of CLIP4Clip, as more channels."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['inflate_patch_weight', 'with_neighbours']


def with_neighbours(imgs: Tensor, frame_mask: Tensor | None, patch_frames: int) -> Tensor:
    """Stack each frame with its neighbours along the channels; there is 0 outside a video.

    A convolution of the result is a convolution over ``patch_frames`` frames.

    Args:
        imgs: Frames.
        frame_mask: True for the frames of the video; None for all.
        patch_frames: Frames to stack, an odd number, the frame itself in the middle.

    Shape:
        - imgs: (B, T, C, H, W), frame_mask: (B, T) bool -> (B, T, patch_frames * C, H, W)
    """
    if frame_mask is not None:
        imgs = imgs.masked_fill(~frame_mask[:, :, None, None, None], 0.0)
    num_frames, side = imgs.shape[1], patch_frames // 2
    padded = F.pad(imgs, (0, 0, 0, 0, 0, 0, side, side))
    return torch.cat([padded[:, i : i + num_frames] for i in range(patch_frames)], dim=2)


def inflate_patch_weight(weight: Tensor, channels: int) -> Tensor:
    """Make the weight of a patch embedding one over several frames, which sees the middle one.

    Shape:
        - weight: (D, C, P, P) -> (D, channels, P, P)
    """
    side = (channels - weight.shape[1]) // 2
    return F.pad(weight, (0, 0, 0, 0, side, side))
