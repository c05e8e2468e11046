"""Write a folder with which videos are searched without torch."""

import json
import shutil
from functools import partial
from pathlib import Path

from open_clip.tokenizer import default_bpe

from ..apis import RetrievalInferencer
from ..utils.files import making_folder, replacing, write_text
from .description import describe
from .encoders import (
    TEXT_ENCODER,
    VIDEO_ENCODER,
    VideoShape,
    check_exportable,
    write_text_encoder,
    write_video_encoder,
)
from .parity import measure_parity

__all__ = ['DESCRIPTION', 'export_onnx']

DESCRIPTION = 'export.json'
SCRIPTS = Path(__file__).with_name('without_torch')
TOLERANCE = 1e-4


def export_onnx(
    inferencer: RetrievalInferencer,
    folder: str | Path,
    *,
    shape: VideoShape,
    int8: bool = False,
    check: bool = True,
) -> dict[str, float]:
    """Write both encoders as ONNX files, with all that a program needs to use them.

    The folder contains ``text_encoder.onnx``, ``video_encoder.onnx``, the description
    ``export.json``, the vocabulary of CLIP's tokenizer, and the programs ``search.py`` and
    ``encode.py``, which need no torch. It is complete or missing.

    Args:
        inferencer: The model and its test pipeline, on the CPU.
        folder: The folder to write; it must be missing or empty.
        shape: Frames that the video encoder accepts, see `video_shape`.
        int8: Quantise the weights of the linear layers to 8 bits, and their inputs at run time.
        check: Compare the files with the model on random inputs.

    Returns:
        For each file the largest relative difference of a feature; empty without ``check``.

    Raises:
        FileExistsError: If the folder is not empty.
        ValueError: If the model cannot be exported, or float32 files differ from it by more than
            1e-4.
    """
    model = inferencer.model
    check_exportable(model, shape)
    vocabulary = Path(default_bpe())
    description = describe(
        inferencer,
        shape,
        vocabulary=vocabulary.name,
        precision='int8' if int8 else 'float32',
    )
    context_length = description['text']['context_length']
    measure = partial(measure_parity, model, context_length=context_length, shape=shape)
    differences: dict[str, float] = {}
    with making_folder(folder) as temporary:
        write_text_encoder(model, temporary / TEXT_ENCODER, context_length=context_length)
        write_video_encoder(model, temporary / VIDEO_ENCODER, shape=shape)
        if check:
            differences = _require_parity(measure(temporary))
        if int8:
            _quantise(temporary)
            differences = measure(temporary) if check else {}
        for source in (vocabulary, *sorted(SCRIPTS.glob('*.py'))):
            shutil.copyfile(source, temporary / source.name)
        write_text(temporary / DESCRIPTION, json.dumps(description, indent=2, default=str))
    return differences


def _require_parity(differences: dict[str, float]) -> dict[str, float]:
    for name, difference in differences.items():
        if not difference <= TOLERANCE:  # also not a number
            raise ValueError(
                f'the features of {name} differ from those of the model by {difference:.1e} of '
                f'their length, expected at most {TOLERANCE:.0e}; nothing was written'
            )
    return differences


def _quantise(folder: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    for name in (TEXT_ENCODER, VIDEO_ENCODER):
        with replacing(folder / name) as temporary:
            # the convolution of the patches stays as it is: onnxruntime's integer one is slow
            quantize_dynamic(
                folder / name,
                temporary,
                op_types_to_quantize=['MatMul', 'Gather'],
                per_channel=True,
            )
