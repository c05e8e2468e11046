"""Watch whether the token selection learns: its scores and how sure it is of its choice."""

import math
from typing import Any

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from ..models.layers.perturbed_topk import draw_noise, perturbed_topk
from ..models.necks import TokenSelection

__all__ = ['SelectionHealthHook', 'measure_selection']

SATURATED = 0.99  # of tanh, whose gradient there is below 0.02


@HOOKS.register_module()
class SelectionHealthHook(Hook):
    """Log the state of the token selection during training.

    ``selection_spread`` is the standard deviation of the scores within a frame; a selection with
    a spread far below ``sigma`` is random. ``selection_entropy`` is the entropy of the indicator
    for each kept patch under noise of ``sigma`` (also where training selects without noise), 0 if
    it always is the same one and 1 if each is as likely. ``selection_saturated`` is the share of
    scores whose tanh has almost no gradient. The values are those of the last batch; the hook draws
    no random number of the training.

    Args:
        interval: Iterations between two measurements.

    Raises:
        ValueError: If ``interval`` is not positive or the model has no token selection.
    """

    def __init__(self, *, interval: int = 20) -> None:
        if interval < 1:
            raise ValueError(f'interval={interval} must be at least 1')
        self.interval = interval
        self._neck: TokenSelection | None = None
        self._scores: Tensor | None = None

    def before_train(self, runner: Runner) -> None:
        """Find the selection and listen to its scores."""
        found = [part for part in runner.model.modules() if isinstance(part, TokenSelection)]
        if not found:
            raise ValueError(
                'SelectionHealthHook: the model has no TokenSelection; other necks learn no scores'
            )
        self._neck = found[0]
        self._handle = self._neck.score_mlp.register_forward_hook(self._keep)

    def after_train(self, runner: Runner) -> None:
        """Stop listening."""
        self._handle.remove()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Measure and hand the values to the log."""
        if self._scores is None or not self.every_n_train_iters(runner, self.interval):
            return
        assert self._neck is not None
        scores = self._scores.squeeze(-1)[..., self._neck.first_candidate :]
        candidates = scores.flatten(0, -2).float()
        values = measure_selection(candidates, topk=self._neck.topk, sigma=self._neck.sigma)
        for name, value in values.items():
            runner.message_hub.update_scalar(f'train/selection_{name}', value)

    def _keep(self, module: nn.Module, inputs: Any, scores: Tensor) -> None:
        if module.training:
            self._scores = scores.detach()


def measure_selection(
    scores: Tensor, *, topk: int, sigma: float, num_samples: int = 200
) -> dict[str, float]:
    """Measure spread, entropy and saturation of patch scores.

    Args:
        scores: Scores of the patches of each frame.
        topk: Number of patches that are kept.
        sigma: Standard deviation of the noise on the scores.
        num_samples: Noise samples of the indicator whose entropy is measured.

    Shape:
        - scores: (N, P)
    """
    num_patches = scores.shape[1]
    noise = draw_noise(
        (1, num_samples, num_patches),
        device='cpu',
        dtype=scores.dtype,
        generator=torch.Generator().manual_seed(0),
    )
    indicator = perturbed_topk(scores, noise.to(scores.device), topk, sigma)
    entropy = torch.special.entr(indicator).sum(dim=-1).mean() / math.log(num_patches)
    return dict(
        spread=scores.std(dim=1).mean().item(),
        entropy=entropy.item(),
        saturated=(scores.abs() > SATURATED).float().mean().item(),
    )
