"""Random features for an index, their scores by the definition, and a model that is no network."""

import numpy as np
import torch

from ts2net_mm.search import Description, Layout, VideoEntry, WindowFeatures

FRAMES, DIMS = 4, 16


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def make_entry(path, *, seed, num_windows=2, spread=0.3, size=100, mtime_ns=1):
    """A video whose windows overlap, each with one to four frames."""
    rng = np.random.default_rng(seed)
    around = unit(rng.standard_normal((num_windows, 1, DIMS)))
    features = around + spread * unit(rng.standard_normal((num_windows, FRAMES, DIMS)))
    starts = 6.0 * np.arange(num_windows)
    windows = WindowFeatures(
        starts=starts,
        ends=starts + 12,
        features=(rng.uniform(1, 9) * features).astype(np.float32),
        frame_mask=np.arange(FRAMES) < rng.integers(1, FRAMES + 1, num_windows)[:, None],
        frame_seconds=starts[:, None] + 3.0 * np.arange(FRAMES),
    )
    return VideoEntry(path, size, mtime_ns, float(starts[-1] + 12), windows)


def score_of(entry, query, dtype='float32', temperature=4.0):
    """The best frame-weighted score of a video, by the definition."""
    frames = unit(entry.windows.features.astype(np.float64)).astype(dtype).astype(np.float64)
    scores = []
    for window, mask in zip(frames, entry.windows.frame_mask, strict=True):
        c = window[mask] @ unit(query)
        weights = np.exp(temperature * c / np.linalg.norm(c))
        scores.append((weights * c).sum() / weights.sum())
    return max(scores)


def ranking(entries, query, dtype='float32'):
    """Paths and scores of all videos, best first."""
    scores = {entry.path: score_of(entry, query, dtype) for entry in entries}
    return sorted(scores.items(), key=lambda item: -item[1])


def describe(**changes):
    settings = dict(
        fingerprint='a model',
        layout=Layout(FRAMES, DIMS),
        score=dict(type='frame_weighted', temperature=4.0),
    )
    return Description(**settings | changes)


COLOUR_PIPELINE = [
    dict(type='VideoInit'),
    dict(type='SampleFramesByRate', num_frames=3, frame_rate=1),
    dict(type='VideoDecode'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'frame_mask'), meta_keys=()),
]


class ColourEncoder:
    """The mean colours of the frames, and what it was asked for."""

    name = 'colours'
    video_pipeline = COLOUR_PIPELINE
    index_score = dict(type='frame_weighted', temperature=4.0)

    def __init__(self, fingerprint='colours'):
        self.fingerprint = fingerprint
        self.batches = []

    def encode_items(self, items):
        self.batches.append(len(items))
        imgs = torch.stack([torch.from_numpy(item['inputs']['imgs']) for item in items])
        masks = torch.stack([torch.from_numpy(item['inputs']['frame_mask']) for item in items])
        return imgs.float().mean(dim=(-1, -2)), masks
