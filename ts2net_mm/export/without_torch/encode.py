"""Encode videos for search.py, with numpy, onnxruntime, PyAV and Pillow.

python encode.py features.npz a.mp4 b.mp4

It reads videos of a constant frame rate, as models with SampleFramesByRate and CLIPResize do.
Videos that cannot be read are named and left out.
"""

import json
import sys
from pathlib import Path

import av
import numpy as np
import onnxruntime
from PIL import Image

HERE = Path(__file__).parent
SETTINGS = json.loads((HERE / 'export.json').read_text(encoding='utf-8'))
VIDEO = SETTINGS['video']
STEPS = {step['type']: step for step in VIDEO['pipeline']}


def choose_frames(total, fps, rate, most):
    """Choose frame numbers: `rate` frames of each second, and of more than `most` a subset."""
    second = max(1, int(fps))
    within = np.arange(0, second, max(1, second // rate))[:rate]
    frames = (np.arange(0, total, second)[:, None] + within).ravel()
    frames = frames[frames < total]
    return frames[np.linspace(0, len(frames) - 1, min(len(frames), most), dtype=int)]


def read_frames(path):
    """Decode the frames that the model sees: pictures and their times, and the duration."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError('it has no video stream')
        stream = container.streams.video[0]
        total = sum(packet.pts is not None for packet in container.demux(stream))
        fps = float(stream.average_rate or 0)
    if not total or not fps:
        raise ValueError('it has no frames, or no frame rate')
    rate = STEPS['SampleFramesByRate'].get('frame_rate', 1)
    chosen = choose_frames(total, fps, rate, VIDEO['num_frames']).tolist()
    with av.open(str(path)) as container:
        decoded = enumerate(container.decode(video=0))
        pictures = [frame.to_image() for number, frame in decoded if number in chosen]
    if not pictures:
        raise ValueError('no frame can be decoded')
    return pictures, [number / fps for number in chosen[: len(pictures)]], total / fps


def prepare(picture):
    """Resize, crop and normalise a picture: (3, H, W)."""
    size = STEPS['CLIPResize'].get('size', 224)
    scale = size / min(picture.size)
    width, height = (max(size, int(side * scale)) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)
    pixels = np.asarray(picture.crop((left, top, left + size, top + size)), np.float32)
    return ((pixels - np.float32(VIDEO['mean'])) / np.float32(VIDEO['std'])).transpose(2, 0, 1)


def encode(path, session):
    """Encode a video: what search.py reads of it."""
    pictures, seconds, end = read_frames(path)
    num_frames = len(pictures)
    imgs = np.zeros((1, VIDEO['num_frames'], 3, VIDEO['height'], VIDEO['width']), np.float32)
    imgs[0, :num_frames] = [prepare(picture) for picture in pictures]
    mask = np.arange(VIDEO['num_frames'])[None] < num_frames
    features = session.run(None, {'imgs': imgs, 'frame_mask': mask})[0][0]
    times = np.pad(seconds, (0, VIDEO['num_frames'] - num_frames), mode='edge')
    return dict(
        path=path, start=0.0, end=end, num_frames=num_frames, frame_seconds=times, features=features
    )


def main(index, *paths):
    """Write the index of some videos."""
    is_uniform = STEPS.get('SampleFramesByRate', {}).get('position', 'uniform') == 'uniform'
    is_known = {'SampleFramesByRate', 'CLIPResize'} <= STEPS.keys() and is_uniform
    if not is_known or 'ReorderFrames' in STEPS:
        sys.exit(f'error: this program cannot prepare frames as {", ".join(STEPS)} do')
    session = onnxruntime.InferenceSession(HERE / VIDEO['file'])
    rows = []
    for path in paths:
        try:
            rows.append(encode(path, session))
        except (av.FFmpegError, OSError, ValueError) as error:
            print(f'skipped {path}: {error}', file=sys.stderr)
    if not rows:
        sys.exit('error: none of the videos can be read')
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    np.savez(index, allow_pickle=False, fingerprint=SETTINGS['fingerprint'], **columns)


if __name__ == '__main__':
    if len(sys.argv) < 3:
        sys.exit(f'error: expected an index and videos\n{__doc__}')
    main(*sys.argv[1:])
