"""The parameter groups of the released recipe, and bf16 training on any device."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import autocast
from torch import nn

from ..models.layers.lora import is_lora

__all__ = ['AutocastOptimWrapper', 'CLIPOptimWrapperConstructor']

CLIP_PREFIXES = ('backbone.', 'text_encoder.', 'head.logit_scale')
# the release keeps their weights and biases in fp16 where they are part of CLIP
MATRIX_MODULES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.MultiheadAttention)


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Compute the forward pass in bf16 where torch's autocast does; weights and steps stay fp32.

    bf16 has the range of fp32, so no loss scaling is needed. MMEngine's ``AmpOptimWrapper``, which
    scales the loss, refuses to run on a CPU. The arguments are those of MMEngine's OptimWrapper.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass of a training step."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield


@dataclass(frozen=True)
class _Kind:
    """What decides the group of a parameter."""

    from_clip: bool
    decayed: bool
    fp16: bool


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class CLIPOptimWrapperConstructor:
    """Group trainable parameters: CLIP's or new, decayed or not, fp16 arithmetic or not.

    Everything but biases is decayed, as in the release. LoRA adapters are new parameters. The
    groups and the frozen parameters are logged as a table.

    Args:
        optim_wrapper_cfg: Config of the wrapper with its ``optimizer``; ``lr`` is the learning rate
            of the new modules.
        paramwise_cfg: ``clip_lr_mult``, the learning rate of CLIP's parameters relative to ``lr``
            (1e-3 in the release); ``clip_prefixes``, how the names of CLIP's parameters begin;
            ``fp16_arithmetic``, whether CLIP's linear, convolution and attention weights and biases
            are updated in fp16 (BertAdam only); ``decay_matrices_only``, whether norms, embeddings,
            positions and the logit scale are exempt from the decay as well.

    Raises:
        ValueError: If ``paramwise_cfg`` has an unknown key, asks for fp16 arithmetic with an
            optimiser that has none or names a prefix that matches no parameter, or if the optimiser
            has no ``lr``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.optim_wrapper_cfg.pop('optimizer'))
        settings = dict(paramwise_cfg or {})
        self.clip_lr_mult = settings.pop('clip_lr_mult', 1e-3)
        self.prefixes_given = 'clip_prefixes' in settings
        prefixes = settings.pop('clip_prefixes', CLIP_PREFIXES)
        self.clip_prefixes = (prefixes,) if isinstance(prefixes, str) else tuple(prefixes)
        self.fp16_arithmetic = settings.pop('fp16_arithmetic', False)
        self.decay_matrices_only = settings.pop('decay_matrices_only', False)
        if settings:
            raise ValueError(
                f'paramwise_cfg has unknown keys {sorted(settings)}; known are clip_lr_mult, '
                'clip_prefixes, fp16_arithmetic and decay_matrices_only'
            )
        if 'lr' not in self.optimizer_cfg:
            raise ValueError(
                f'the optimizer {self.optimizer_cfg} has no lr, the learning rate of new modules'
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimiser wrapper of a model."""
        model = cast(nn.Module, model.module) if is_model_wrapper(model) else model
        self._check_prefixes(model)
        kinds = self._sort_parameters(model)
        groups = [self._group(kind, parameters) for kind, parameters in kinds.items()]
        optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=groups))
        if self.fp16_arithmetic and 'fp16_arithmetic' not in optimizer.defaults:
            raise ValueError(
                f'paramwise_cfg asks for fp16_arithmetic, which {type(optimizer).__name__} lacks'
            )
        frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
        print_log(_table(list(kinds), optimizer.param_groups, frozen), logger='current')
        wrapper_cfg = dict(dict(type='OptimWrapper'), **self.optim_wrapper_cfg)
        return OPTIM_WRAPPERS.build(wrapper_cfg, default_args=dict(optimizer=optimizer))

    def _check_prefixes(self, model: nn.Module) -> None:
        names = [name for name, _ in model.named_parameters()]
        if not self.prefixes_given and not any(n.startswith(self.clip_prefixes) for n in names):
            # such as the placeholder model with which MMAction2's vis_scheduler.py plots a schedule
            print_log(
                f'{type(model).__name__} has no parameter of {", ".join(self.clip_prefixes)}: all '
                'are trained as new parameters; set clip_prefixes in paramwise_cfg',
                logger='current',
                level=logging.WARNING,
            )
            return
        for prefix in self.clip_prefixes:
            if not any(name.startswith(prefix) for name in names):
                raise ValueError(f'clip_prefixes: no parameter name begins with {prefix!r}')

    def _sort_parameters(self, model: nn.Module) -> dict[_Kind, list[nn.Parameter]]:
        kinds: dict[_Kind, list[nn.Parameter]] = {}
        for prefix, module in model.named_modules():
            is_matrix = isinstance(module, MATRIX_MODULES)
            for leaf, parameter in module.named_parameters(recurse=False):
                if not parameter.requires_grad:
                    continue
                name = f'{prefix}.{leaf}'
                from_clip = name.startswith(self.clip_prefixes) and not is_lora(name)
                # also in_proj_bias of attention and bias_ih_l0 of an LSTM
                exempt = 'bias' in leaf or (self.decay_matrices_only and not is_matrix)
                kind = _Kind(
                    from_clip=from_clip,
                    decayed=not exempt,
                    fp16=self.fp16_arithmetic and from_clip and is_matrix,
                )
                kinds.setdefault(kind, []).append(parameter)
        return kinds

    def _group(self, kind: _Kind, parameters: list[nn.Parameter]) -> dict:
        lr = self.optimizer_cfg['lr']
        group = dict(params=parameters, lr=lr * self.clip_lr_mult if kind.from_clip else lr)
        if not kind.decayed:
            group['weight_decay'] = 0.0
        if self.fp16_arithmetic:
            group['fp16_arithmetic'] = kind.fp16
        return group


def _table(kinds: list[_Kind], groups: list[dict], frozen: list[nn.Parameter]) -> str:
    rows = ['parameters  lr        decay  arithmetic  tensors      weights']
    for kind, group in zip(kinds, groups, strict=True):
        rows.append(
            f'{"CLIP" if kind.from_clip else "new":10}  {group["lr"]:<8.2g}  '
            f'{group.get("weight_decay", 0.0):<5g}  {"fp16" if kind.fp16 else "as stored":10}  '
            f'{_count(group["params"])}'
        )
    if frozen:
        rows.append(f'{"frozen":10}  {"-":8}  {"-":5}  {"-":10}  {_count(frozen)}')
    return '\n'.join(rows)


def _count(parameters: list[nn.Parameter]) -> str:
    weights = sum(parameter.numel() for parameter in parameters)
    return f'{len(parameters):7d}  {weights:11,d}'
