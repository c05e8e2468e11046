"""How far are the pixels of a pipeline from those of CLIP, and what does a frame cost?

CLIP resizes the shorter side with Pillow's antialiased bicubic filter and crops the centre. The
table gives the mean absolute difference of pixels (0 to 255) and the time of a frame. Frames are
random with the 1/f spectrum of natural pictures, half of them with sharp edges on top.
"""

import argparse
import time

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmengine.registry import init_default_scope
from torchvision.transforms import CenterCrop, InterpolationMode, Resize
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

import ts2net_mm  # noqa: F401  (registers the transforms)

SIZES = ((320, 240), (640, 360), (1280, 720), (1920, 1080))


def natural_frame(width: int, height: int, edges: bool, rng: np.random.Generator) -> np.ndarray:
    """Draw a frame with a 1/f spectrum: (height, width, 3) uint8."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1
    channels = []
    for _ in range(3):
        spectrum = np.fft.fft2(rng.standard_normal((height, width))) / frequency
        channel = np.fft.ifft2(spectrum).real
        channels.append((channel - channel.mean()) / channel.std() * 50 + 128)
    frame = np.stack(channels, axis=-1).clip(0, 255)
    if edges:
        frame[rng.random((height // 8, width // 8)).repeat(8, 0).repeat(8, 1) < 0.1] = 255
        frame[:, :: width // 40] = 0
    return frame.astype(np.uint8)


def clip_resize(frame: np.ndarray, size: int) -> np.ndarray:
    """Resize and crop as CLIP does."""
    image = Resize(size, interpolation=InterpolationMode.BICUBIC)(to_pil_image(frame))
    return pil_to_tensor(CenterCrop(size)(image)).permute(1, 2, 0).numpy()


def run_pipeline(frame: np.ndarray, transforms: list) -> np.ndarray:
    """Resize and crop as a pipeline does."""
    results = dict(imgs=[frame], img_shape=frame.shape[:2], modality='RGB')
    for transform in transforms:
        results = transform(results)
    return results['imgs'][0]


def pipelines(size: int) -> dict[str, list]:
    """CLIPResize, and MMAction2's Resize with three interpolations."""
    found = {'CLIPResize': [dict(type='CLIPResize', size=size)]}
    for interpolation in ('area', 'bicubic', 'bilinear'):
        found[f'Resize {interpolation}'] = [
            dict(type='Resize', scale=(-1, size), interpolation=interpolation),
            dict(type='CenterCrop', crop_size=size),
        ]
    return {name: [TRANSFORMS.build(t) for t in steps] for name, steps in found.items()}


def measure(frames: list[np.ndarray], size: int) -> list[str]:
    """Difference and time of each pipeline, as table cells."""
    expected = [clip_resize(frame, size).astype(float) for frame in frames]
    cells = []
    for steps in pipelines(size).values():
        times, differences = [], []
        for frame, right in zip(frames, expected, strict=True):
            start = time.perf_counter()
            found = run_pipeline(frame, steps)
            times.append(time.perf_counter() - start)
            differences.append(np.abs(found - right).mean())
        cells.append(f'{np.mean(differences):6.2f} {1e3 * np.median(times):5.1f} ms')
    return cells


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--frames', type=int, default=5, help='frames of each size (default: 5)')
    parser.add_argument('--size', type=int, default=224, help='crop size, pixels (default: 224)')
    args = parser.parse_args()
    init_default_scope('mmaction')
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    print('frame      content  ' + '  '.join(f'{name:>15}' for name in pipelines(args.size)))
    for width, height in SIZES:
        for edges in (False, True):
            frames = [natural_frame(width, height, edges, rng) for _ in range(args.frames)]
            cells = '  '.join(f'{cell:>15}' for cell in measure(frames, args.size))
            print(f'{width:4d}x{height:<4d}  {"edges" if edges else "natural":7s}  {cells}')


if __name__ == '__main__':
    main()
