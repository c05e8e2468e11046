"""Let hooks of MMEngine and MMAction2 work with retrieval metrics and with videos and sentences.

MMEngine's ``CheckpointHook`` and ``EarlyStoppingHook`` infer from the name of a metric whether more
is better, and know no name of retrieval. The ``VisualizationHook`` of MMAction2 1.2.0 takes the
inputs of a batch for a list of videos; where a batch has sentences too, as that of MMAction2's own
CLIP4Clip, it ends in ``KeyError: 0``. On every batch it hands ``show`` to a visualizer that calls
this setting ``show_frames``.
"""

from collections.abc import Mapping
from functools import wraps
from typing import Any

__all__ = ['extend_hooks']

# with the slash that MMEngine puts behind a prefix, so that they match nothing else
GREATER_KEYS = ('/R1', '/R5', '/R10', '/R50')
LESS_KEYS = ('/MdR', '/MnR')


def extend_hooks() -> None:
    """Add the names of retrieval metrics, and reading frames beside sentences.

    May be called any number of times.
    """
    from mmaction.engine.hooks import VisualizationHook
    from mmengine.hooks import CheckpointHook, EarlyStoppingHook

    for hook in (CheckpointHook, EarlyStoppingHook):
        for keys, new in (
            (hook._default_greater_keys, GREATER_KEYS),
            (hook._default_less_keys, LESS_KEYS),
        ):
            keys.extend(key for key in new if key not in keys)
    draw = VisualizationHook._draw_samples
    if hasattr(draw, '__wrapped__'):
        return

    @wraps(draw)
    def draw_frames(hook: Any, batch_idx: int, data_batch: dict, *args: Any, **kwargs: Any) -> None:
        inputs = data_batch['inputs']
        if isinstance(inputs, Mapping) and 'imgs' in inputs:
            # (T, 3, H, W) -> (3, T, H, W), which the hook expects
            videos = [imgs.transpose(0, 1) for imgs in inputs['imgs']]
            data_batch = dict(data_batch, inputs=videos)
        if 'show' in hook.draw_args:
            hook.draw_args['show_frames'] = hook.draw_args.pop('show')
        draw(hook, batch_idx, data_batch, *args, **kwargs)

    VisualizationHook._draw_samples = draw_frames
