"""What a program needs beside the ONNX files: tokenizer, preprocessing and similarity."""

from collections.abc import Sequence
from importlib import metadata
from typing import Any

from mmaction.registry import TRANSFORMS

from ..apis import RetrievalInferencer
from ..apis.reading import split_test_pipeline
from ..models import (
    FrameWeightedSimilarity,
    MeanPooledSimilarity,
    RetrievalHead,
    TextVideoDataPreprocessor,
)
from ..utils.config_types import type_name
from .encoders import TEXT_ENCODER, VIDEO_ENCODER, VideoShape

__all__ = ['describe', 'text_transform', 'video_shape']

FORMAT = 'ts2net_mm ONNX 1'
PACKAGES = ('ts2net-mm', 'torch', 'onnx', 'onnxscript', 'onnxruntime', 'open_clip_torch')
# what transforms do, for a reader who does not have them
RULES = {
    'SampleFramesByRate': 'frame_rate frames of each second, with the rate of the video truncated '
    'to a whole number; of more than num_frames an evenly spaced subset, or the first or last by '
    'position; fewer are padded with the last one, for which frame_mask is false',
    'UniformSample': 'clip_len frames, evenly spaced',
    'CLIPResize': 'the shorter side to size pixels with the antialiased bicubic filter of Pillow, '
    'then the square in the centre',
}


def text_transform(inferencer: RetrievalInferencer) -> Any:
    """Build the transform of the test pipeline that tokenises sentences."""
    return TRANSFORMS.build(split_test_pipeline(inferencer.cfg)[1])


def video_shape(
    inferencer: RetrievalInferencer, *, num_frames: int | None = None, dynamic: bool = False
) -> VideoShape:
    """Read from a model and its test pipeline what frames its video encoder gets.

    Args:
        inferencer: The model and its pipeline.
        num_frames: Frames of a video, instead of the number in the pipeline.
        dynamic: Whether the number of frames may differ between batches.

    Raises:
        ValueError: If neither ``num_frames`` nor the pipeline tells the number of frames.
    """
    num_frames = num_frames or _sampled_frames(inferencer.video_pipeline)
    if num_frames is None:
        raise ValueError(
            f'the test pipeline of config {inferencer.cfg.filename} does not tell its number of '
            'frames, as SampleFramesByRate and UniformSample do: set the number'
        )
    height, width = _cropped_size(inferencer.video_pipeline) or inferencer.model.backbone.img_size
    return VideoShape(num_frames, height, width, dynamic)


def _sampled_frames(pipeline: Sequence[dict]) -> int | None:
    for step in pipeline:
        if type_name(step) == 'SampleFramesByRate':
            return step.get('num_frames', 12)
        if type_name(step) == 'UniformSample':
            return step['clip_len']
    return None


def _cropped_size(pipeline: Sequence[dict]) -> tuple[int, int] | None:
    for step in reversed(pipeline):
        if type_name(step) == 'CLIPResize' and step.get('crop', True):
            size = step.get('size', 224)
            return size, size
        if type_name(step) == 'CenterCrop':
            size = step['crop_size']
            return (size, size) if isinstance(size, int) else (size[1], size[0])
    return None


def describe(
    inferencer: RetrievalInferencer, shape: VideoShape, *, vocabulary: str, precision: str
) -> dict[str, Any]:
    """Describe an export as data for JSON.

    Args:
        inferencer: The model and its pipeline.
        shape: Frames that the video encoder accepts.
        vocabulary: Name of the file with the tokenizer's merges.
        precision: Type of the weights.

    Raises:
        ValueError: If the preprocessing or the similarity is none that can be described.
    """
    return dict(
        format=FORMAT,
        fingerprint=inferencer.fingerprint,
        precision=precision,
        selection=getattr(inferencer.model.neck, 'test_mode', None),
        text=_describe_text(text_transform(inferencer), vocabulary),
        video=_describe_video(inferencer, shape),
        similarity=_describe_similarity(inferencer.model.head),
        versions={name: metadata.version(name) for name in PACKAGES},
    )


def _describe_text(transform: Any, vocabulary: str) -> dict[str, Any]:
    tokenizer = transform.tokenizer
    return dict(
        file=TEXT_ENCODER,
        context_length=transform.max_words,
        vocabulary=vocabulary,
        num_merges=len(tokenizer.bpe_ranks),
        cleaning='ftfy.fix_text, html.unescape twice, single spaces, lower case',
        pattern=tokenizer.pat.pattern,
        start=tokenizer.sot_token_id,
        end=tokenizer.eot_token_id,
        padding=0,
    )


def _describe_video(inferencer: RetrievalInferencer, shape: VideoShape) -> dict[str, Any]:
    preprocessor = inferencer.model.data_preprocessor
    if not isinstance(preprocessor, TextVideoDataPreprocessor):
        raise ValueError(
            f'the data preprocessor is {type(preprocessor).__name__}, but the export describes the '
            'arithmetic of TextVideoDataPreprocessor alone'
        )
    names = [type_name(step) for step in inferencer.video_pipeline]
    return dict(
        file=VIDEO_ENCODER,
        num_frames=shape.num_frames,
        dynamic_frames=shape.dynamic,
        height=shape.height,
        width=shape.width,
        mean=preprocessor.mean.flatten().tolist(),
        std=preprocessor.std.flatten().tolist(),
        normalisation='(pixel - mean) / std of RGB from 0 to 255, and 0 where frame_mask is false',
        pipeline=[
            dict(step, type=name)
            for step, name in zip(inferencer.video_pipeline, names, strict=True)
        ],
        rules={name: RULES[name] for name in names if name in RULES},
    )


def _describe_similarity(head: RetrievalHead) -> dict[str, Any]:
    similarity = head.cosine_similarity
    described = dict(type=type(similarity).__name__, logit_scale=head.logit_scale.exp().item())
    if isinstance(similarity, FrameWeightedSimilarity) and similarity.mask_order == 'frame':
        return described | dict(temperature=similarity.temperature)
    if isinstance(similarity, MeanPooledSimilarity):
        return described
    raise ValueError(
        f'the export cannot describe the similarity {head.similarity_cfg}, only '
        "FrameWeightedSimilarity with mask_order='frame' and MeanPooledSimilarity"
    )
