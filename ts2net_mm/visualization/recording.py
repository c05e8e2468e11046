"""Record what a model does with the tokens of a video, given a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from ..models import TS2Net

__all__ = ['TokenRecord', 'record_tokens', 'shift_origins']

_Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class TokenRecord:
    """What a model does with the tokens of a video of T frames, given a sentence.

    Args:
        name: Name of the video.
        caption: The sentence.
        frames: What the model sees, RGB.
        seconds: Presentation time of each frame, NaN where it is unknown.
        frame_mask: True for the frames of the video, False for padding.
        grid: Rows and columns of the patches of a frame.
        similarity: Of the sentence and the video, without the logit scale.
        cosines: Of the sentence, or the word that fits best, and each frame.
        frame_weights: With which the similarity weighs the frames.
        scores: Of each patch, by which it is selected.
        selection: Weight of each patch in each of the K kept tokens.
        origins: For each token of a frame, [CLS] first, the share of its channels that comes from
            each frame when it enters the attention of a block that shifts.
        shift_layers: The blocks that shift, from 0.
        absent: Why ``frame_weights``, ``scores``, ``selection`` or ``origins`` are None.

    Shape:
        - frames: (T, H, W, 3) uint8; seconds, frame_mask, cosines, frame_weights: (T,)
        - scores: (T, P); selection: (T, K, P); origins: (T, 1 + P, T)
    """

    name: str
    caption: str
    frames: np.ndarray
    seconds: np.ndarray
    frame_mask: np.ndarray
    grid: tuple[int, int]
    similarity: float
    cosines: np.ndarray
    frame_weights: np.ndarray | None = None
    scores: np.ndarray | None = None
    selection: np.ndarray | None = None
    origins: np.ndarray | None = None
    shift_layers: tuple[int, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> np.ndarray | None:
        """How much of each patch the selection keeps, over all K tokens: (T, P)."""
        return None if self.selection is None else self.selection.sum(axis=1)


@torch.no_grad()
def record_tokens(
    model: TS2Net,
    inputs: Mapping[str, Any],
    text: Tensor,
    *,
    name: str,
    caption: str,
    seconds: np.ndarray | None = None,
) -> TokenRecord:
    """Encode a video and record what happens to its tokens; the model should be in eval mode.

    Args:
        model: The model.
        inputs: What the test pipeline packs of the video: ``imgs``, and ``frame_mask`` if there is
            padding.
        text: Feature of the sentence, or those of its words.
        name: Name of the video.
        caption: The sentence.
        seconds: Presentation times of the frames, if they are known.

    Shape:
        - imgs: (T, 3, H, W) uint8; frame_mask: (T,) bool; text: (1, D) or (1, L, D)
    """
    item = {key: torch.as_tensor(inputs[key]) for key in ('imgs', 'frame_mask') if key in inputs}
    batch = model.data_preprocessor(pseudo_collate([dict(inputs=item)]), False)['inputs']
    imgs, frame_mask = batch['imgs'], batch['frame_mask']
    shift = getattr(model.backbone, 'shift', None)
    # a selection that draws new noise at each call draws the same twice
    with torch.random.fork_rng([imgs.device] if imgs.is_cuda else []):
        with _listening(model.neck) as neck_calls, _listening(shift) as shift_calls:
            video = model.encode_video(imgs, frame_mask)
        fields, absent = _record_selection(model.neck, neck_calls[0])
    if shift is not None:
        fields['origins'] = shift_origins(shift, *shift_calls[0])[0]
    else:
        absent['origins'] = f'its {type(model.backbone).__name__} shifts no tokens'
    features = text.to(video.device, video.dtype), video, frame_mask
    score = model.head.similarity(*features) / model.head.logit_scale.exp()
    compared, why_not = _compare_frames(model.head.cosine_similarity, *features)
    return TokenRecord(
        name=name,
        caption=caption,
        frames=item['imgs'].permute(0, 2, 3, 1).numpy(),
        seconds=np.full(len(item['imgs']), np.nan) if seconds is None else seconds,
        frame_mask=frame_mask[0].cpu().numpy(),
        grid=_grid(model, imgs),
        similarity=score.item(),
        shift_layers=tuple(sorted(getattr(model.backbone, 'shift_layers', ()))),
        absent=absent | why_not,
        **{key: value.float().cpu().numpy() for key, value in (fields | compared).items()},
    )


@contextmanager
def _listening(module: nn.Module | None) -> Iterator[list[_Call]]:
    """Collect the arguments with which a module is called."""
    calls: list[_Call] = []
    if module is None:
        yield calls
        return

    def keep(module: nn.Module, args: tuple, kwargs: dict) -> None:
        calls.append((args, kwargs))
        torch.manual_seed(0)

    handle = module.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def _record_selection(neck: nn.Module, call: _Call) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Compute weights and scores of the patches again, with the arguments of a call."""
    args, kwargs = call
    fields, absent = {}, {}
    for name, method, what in (
        ('selection', 'patch_weights', 'keeps no patches'),
        ('scores', 'patch_scores', 'computes no scores'),
    ):
        if hasattr(neck, method):
            torch.manual_seed(0)
            fields[name] = getattr(neck, method)(*args, **kwargs)[0]
        else:
            absent[name] = f'{type(neck).__name__} {what}'
    return fields, absent


def _compare_frames(
    similarity: Any, text: Tensor, video: Tensor, frame_mask: Tensor
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Compare a sentence with each frame of a video, and weigh the frames."""
    words = text.flatten(0, -2)  # or a single row for the sentence
    words = words[words.any(dim=-1)]  # 0 is padding
    cosines = F.normalize(video[0], dim=-1) @ F.normalize(words, dim=-1).T
    found = dict(cosines=cosines.amax(dim=-1))
    if not hasattr(similarity, 'frame_weights'):
        return found, dict(frame_weights=f'{type(similarity).__name__} has none')
    return found | dict(frame_weights=similarity.frame_weights(text, video, frame_mask)[0, 0]), {}


def shift_origins(
    shift: Callable[..., Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Tensor:
    """Find out from which frame each token comes, by a shift of frame numbers.

    Args:
        shift: A token shift.
        args: The arguments of a call; the first are the tokens, of which only the shape counts.
        kwargs: Further arguments of the call.

    Shape:
        - tokens: (B, T, L, D) -> (B, T, L, T), the share of the channels from each frame
    """
    tokens, *rest = args
    shares = []
    for frame in range(tokens.shape[1]):
        from_frame = torch.zeros_like(tokens)
        from_frame[:, frame] = 1
        shares.append(shift(from_frame, *rest, **kwargs).mean(dim=-1))
    return torch.stack(shares, dim=-1)


def _grid(model: TS2Net, imgs: Tensor) -> tuple[int, int]:
    """Rows and columns of the patches."""
    height, width = model.backbone.patch_embed.projection.kernel_size[-2:]
    return imgs.shape[-2] // height, imgs.shape[-1] // width
