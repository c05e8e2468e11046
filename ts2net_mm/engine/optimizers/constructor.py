"""Parameter groups of the released recipe."""

from dataclasses import dataclass
from typing import cast

from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn

__all__ = ['CLIPOptimWrapperConstructor']


@dataclass(frozen=True)
class _Kind:
    """What decides the group of a parameter."""

    from_clip: bool
    decayed: bool
    fp16: bool


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class CLIPOptimWrapperConstructor:
    """Group trainable parameters: CLIP's or new, decayed or not, fp16 arithmetic or not.

    Biases are not decayed, all else is, as in the release. The groups are logged as a table.

    Args:
        optim_wrapper_cfg: Config of the wrapper with its ``optimizer``; ``lr`` is the rate of the
            new modules.
        paramwise_cfg: ``clip_lr_mult``, the rate of CLIP's parameters over ``lr`` (1e-3 in the
            release); ``clip_prefixes``, the names with which CLIP's parameters begin;
            ``fp16_arithmetic``, whether CLIP's linear and convolution weights and biases are
            updated in fp16 (for BertAdam).

    Raises:
        ValueError: If ``paramwise_cfg`` holds an unknown key, or asks for fp16 arithmetic of an
            optimiser that has none.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        self.optimizer_cfg = dict(self.optim_wrapper_cfg.pop('optimizer'))
        settings = dict(paramwise_cfg or {})
        self.clip_lr_mult = settings.pop('clip_lr_mult', 1e-3)
        self.clip_prefixes = tuple(
            settings.pop('clip_prefixes', ('backbone.', 'text_encoder.', 'head.logit_scale'))
        )
        self.fp16_arithmetic = settings.pop('fp16_arithmetic', False)
        if settings:
            raise ValueError(
                f'paramwise_cfg has unknown keys {sorted(settings)}, known are clip_lr_mult, '
                'clip_prefixes and fp16_arithmetic'
            )

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimiser wrapper of a model."""
        model = cast(nn.Module, model.module) if is_model_wrapper(model) else model
        kinds = self._sort(model)
        groups = [self._group(kind, list(named.values())) for kind, named in kinds.items()]
        self._log(kinds, groups)
        optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=groups))
        if self.fp16_arithmetic and 'fp16_arithmetic' not in optimizer.defaults:
            raise ValueError(
                f'paramwise_cfg asks for fp16_arithmetic, which {type(optimizer).__name__} lacks'
            )
        wrapper_cfg = dict(dict(type='OptimWrapper'), **self.optim_wrapper_cfg)
        return OPTIM_WRAPPERS.build(wrapper_cfg, default_args=dict(optimizer=optimizer))

    def _sort(self, model: nn.Module) -> dict[_Kind, dict[str, nn.Parameter]]:
        kinds: dict[_Kind, dict[str, nn.Parameter]] = {}
        for prefix, module in model.named_modules():
            is_matrix = isinstance(module, nn.Linear | nn.Conv2d)
            for leaf, parameter in module.named_parameters(recurse=False):
                if not parameter.requires_grad:
                    continue
                name = f'{prefix}.{leaf}' if prefix else leaf
                from_clip = name.startswith(self.clip_prefixes)
                kind = _Kind(
                    from_clip=from_clip,
                    decayed=leaf != 'bias',
                    fp16=self.fp16_arithmetic and from_clip and is_matrix,
                )
                kinds.setdefault(kind, {})[name] = parameter
        return kinds

    def _group(self, kind: _Kind, parameters: list[nn.Parameter]) -> dict:
        lr = self.optimizer_cfg['lr']
        group = dict(params=parameters, lr=lr * self.clip_lr_mult if kind.from_clip else lr)
        if not kind.decayed:
            group['weight_decay'] = 0.0
        if self.fp16_arithmetic:
            group['fp16_arithmetic'] = kind.fp16
        return group

    def _log(self, kinds: dict[_Kind, dict[str, nn.Parameter]], groups: list[dict]) -> None:
        rows = ['parameters  lr        decay  arithmetic  tensors      weights']
        decay = self.optimizer_cfg.get('weight_decay', 0.0)
        for (kind, named), group in zip(kinds.items(), groups, strict=True):
            weights = sum(parameter.numel() for parameter in named.values())
            rows.append(
                f'{"CLIP" if kind.from_clip else "new":10}  {group["lr"]:<8.2g}  '
                f'{group.get("weight_decay", decay):<5g}  '
                f'{"fp16" if kind.fp16 else "as stored":10}  {len(named):7d}  {weights:11,d}'
            )
        print_log('\n'.join(rows), logger='current')
