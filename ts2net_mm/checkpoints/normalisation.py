"""Say so where a folder of weights wants its images normalised unlike CLIP's."""

import logging
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from .settings import read_json

__all__ = ['warn_of_normalisation']


def warn_of_normalisation(path: Path) -> None:
    """Read what Hugging Face or open_clip keep beside a weight file, and warn where it differs.

    The weights alone cannot tell it, and a model computes with any: it is set in a config.
    """
    from ..models.data_preprocessor import CLIP_MEAN, CLIP_STD

    if path.name.startswith('open_clip_'):
        beside = path.with_name('open_clip_config.json')
        told, keys = read_json(beside).get('preprocess_cfg'), ('mean', 'std')
    else:
        beside = path.with_name('preprocessor_config.json')
        told, keys = read_json(beside), ('image_mean', 'image_std')
    if not isinstance(told, dict):
        return
    for key, known in zip(keys, (CLIP_MEAN, CLIP_STD), strict=True):
        values = told.get(key)
        if not isinstance(values, list) or not all(isinstance(one, int | float) for one in values):
            continue
        clip = [one / 255 for one in known]
        if len(values) != len(clip) or np.allclose(values, clip, rtol=0, atol=1e-3):
            continue
        setting = [round(255 * value, 3) for value in values]
        print_log(
            f"{beside}: {key} is {values}, not CLIP's {[round(one, 4) for one in clip]}; "
            f'set model.data_preprocessor.{key.removeprefix("image_")}={setting} in the config',
            logger='current',
            level=logging.WARNING,
        )
