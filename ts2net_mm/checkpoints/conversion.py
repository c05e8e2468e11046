"""Recognise a state dict, rename it for this package, and check that it is complete."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from mmaction.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor

from .architecture import Shapes, backbone_config, model_config
from .formats import FORMATS, Format, recognise, unsupported
from .reading import Checkpoint, list_first
from .settings import merged

__all__ = [
    'Conversion',
    'check_state_dict',
    'config_from_state_dict',
    'config_of',
    'convert_state_dict',
]

_BLOCK = re.compile(r'(.+?\.layers)\.(\d+)\.')


@dataclass(frozen=True)
class Conversion:
    """Weights that were recognised and renamed.

    Args:
        checkpoint: The weights as they were read.
        format: Their format.
        tensors: The weights under this package's names, in this package's layouts.
        unknown: Keys that the format does not have.
    """

    checkpoint: Checkpoint
    format: Format
    tensors: dict[str, Tensor]
    unknown: list[str]

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, *, default: Format | None = None
    ) -> 'Conversion':
        """Recognise and rename weights.

        Args:
            checkpoint: Weights of any format.
            default: Format to assume if the keys show none.

        Raises:
            ValueError: If the format is unknown, the model is not supported, or weights are NaN or
                infinite.
        """
        state_dict, name = checkpoint.state_dict, checkpoint.name
        if message := unsupported(state_dict):
            raise ValueError(f'{name}: this is {message}')
        fmt = recognise(state_dict) or default
        if fmt is None:
            names = ', '.join(known.name for known in FORMATS.values())
            raise ValueError(
                f'{name} is no state dict of a known format ({names}): none of its '
                f'{len(state_dict)} keys is known, the first are {list(state_dict)[:10]}'
            )
        tensors, unknown = fmt.to_ours(state_dict)
        # a diverged training saves NaN; tensors without memory have no values
        bad = [
            fmt.source_key(key)
            for key, tensor in tensors.items()
            if tensor.is_floating_point() and not tensor.is_meta and not tensor.isfinite().all()
        ]
        if bad:
            raise ValueError(
                f'{name}: {len(bad)} of {len(tensors)} tensors hold NaN or infinite numbers: '
                + list_first(bad)
            )
        return cls(checkpoint, fmt, tensors, unknown)

    def describe_unused(self) -> list[str]:
        """Say which tensors were skipped and why; empty if none were."""
        unused = [key for key in self.checkpoint.state_dict if key in self.format.unused]
        if not unused:
            return []
        parts = sorted({key.split('.')[0] for key in unused})
        return [
            f'{len(unused)} tensors skipped, which the released model saves but never reads: '
            + ', '.join(f'{part}.*' for part in parts)
        ]

    def config(self) -> dict:
        """Derive the config of the model that the weights belong to.

        Raises:
            ValueError: If the weights are only an image encoder, or a tensor that shows the
                architecture is missing.
        """
        if self.format.image_only:
            raise ValueError(
                f'{self.checkpoint.name}: {self.format.name} weights are an image encoder without '
                "text; load them with init_cfg=dict(type='CLIPPretrained', checkpoint=...) into a "
                'configured model'
            )
        settings = self.checkpoint.settings
        if 'type' in settings:  # the config of a whole model, whose defaults are those of its parts
            return dict(settings)
        shift_layers = self.format.shift_layers(self.checkpoint.state_dict)
        return merged(model_config(self._shapes(), shift_layers), settings)

    def check(self) -> None:
        """Compare the tensors with the model that they belong to.

        Raises:
            ValueError: If keys are unknown, missing or misshapen; the first ten of each are listed.
        """
        image_only = self.format.image_only
        config = backbone_config(self._shapes()) if image_only else self.config()
        with torch.device('meta'):  # takes no memory
            expected = MODELS.build(config).state_dict()
        if image_only:
            whole = {f'backbone.{key}': tensor for key, tensor in expected.items()}
            expected = {k: t for k, t in whole.items() if not k.startswith(self.format.new)}
        check_state_dict(
            self.tensors,
            expected,
            unknown=self.unknown,
            name=self.checkpoint.name,
            source_key=self.format.source_key,
        )

    def _shapes(self) -> Shapes:
        return Shapes(self.tensors, self.format.source_key, self.checkpoint.name)


def config_of(checkpoint: Checkpoint) -> dict:
    """Derive the config of the model that a checkpoint belongs to.

    Raises:
        ValueError: If its format is unknown, or a tensor that shows the architecture is missing.
    """
    return Conversion.from_checkpoint(checkpoint).config()


def config_from_state_dict(state_dict: Mapping[str, Tensor]) -> dict:
    """Derive the config of the model that a CLIP or TS2-Net state dict belongs to.

    A plain CLIP becomes a model that averages its frames, which is CLIP4Clip's meanP. Settings that
    no shape shows (number of selected patches, sigma, temperature, activation) get the values of
    OpenAI's CLIP and the released TS2-Net. Nothing is frozen: the training config decides that.

    Args:
        state_dict: Weights of any format that ``convert_state_dict`` takes. Those that
            ``read_state_dict`` returns come with what a config file next to them states
            (activation, heads).

    Returns:
        A config for ``MODELS.build``.

    Raises:
        ValueError: If the format is unknown, or a tensor that shows the architecture is missing;
            the message names it.
    """
    return config_of(_as_checkpoint(state_dict))


def convert_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and lay out weights for this package; values and dtypes do not change.

    Args:
        state_dict: Weights of CLIP as OpenAI, open_clip, Hugging Face or MMPretrain save them, of
            the released TS2-Net, of CLIP4Clip, or of this package; recognised by their keys.

    Returns:
        The state dict of the model that ``config_from_state_dict`` describes.

    Raises:
        ValueError: If the format is unknown, or keys are unknown, missing or misshapen; the first
            ten of each are listed.
    """
    conversion = Conversion.from_checkpoint(_as_checkpoint(state_dict))
    conversion.check()
    for note in conversion.describe_unused():
        print_log(note, logger='current')
    return conversion.tensors


def _as_checkpoint(state_dict: Mapping[str, Tensor]) -> Checkpoint:
    settings = getattr(state_dict, 'settings', {})  # of a StateDict
    return Checkpoint(dict(state_dict), settings, name='the state dict')


def check_state_dict(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    unknown: Iterable[str] = (),
    name: str = 'the state dict',
    source_key: Callable[[str], str] = str,
) -> None:
    """Compare keys and shapes.

    Args:
        found: The state dict that was read.
        expected: The state dict of the model to fill; meta tensors will do.
        unknown: Further keys of the file that have no name in the model.
        name: What errors call the state dict, such as its file.
        source_key: Gives the name in the file of one of the model's keys.

    Raises:
        ValueError: If keys are unexpected, missing or misshapen; the first ten of each are listed.
    """

    def label(key: str) -> str:
        source = source_key(key)
        return key if source == key else f'{key} ({source})'

    blocks, wanted = _count_blocks(found), _count_blocks(expected)
    stacks = [stack for stack in blocks if blocks[stack] != wanted.get(stack, blocks[stack])]
    problems = [
        f'{stack} has {blocks[stack]} blocks in the file and {wanted[stack]} in the model'
        for stack in stacks
    ]
    # stacks of another depth are a problem of their own; their keys would only fill the lists
    explained = tuple(f'{stack}.' for stack in stacks)
    plain = [key for key in (*found, *expected) if not key.startswith(explained)]
    lists = dict(
        unexpected=[*unknown, *(key for key in plain if key not in expected)],
        missing=[label(key) for key in plain if key not in found],
        misshapen=[
            f'{label(key)} {tuple(found[key].shape)} instead of {tuple(tensor.shape)}'
            for key, tensor in expected.items()
            if key in found and found[key].shape != tensor.shape
        ],
    )
    problems += [f'{len(keys)} {kind}: {list_first(keys)}' for kind, keys in lists.items() if keys]
    if problems:
        raise ValueError(f'{name} does not fit the model: ' + '; '.join(problems))


def _count_blocks(keys: Iterable[str]) -> Counter[str]:
    matches = (_BLOCK.match(key) for key in keys)
    return Counter({match[0]: match[1] for match in matches if match}.values())
