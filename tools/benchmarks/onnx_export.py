"""Exported encoders: their difference from the model, time and size, and the recall of int8.

run.py measures the first three, with random weights. The recall needs trained weights:

  python tools/benchmarks/onnx_export.py configs/ts2net_moving-shapes.py seed0.pth seed1.pth
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import Side, measure
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from report import Report, Table

from ts2net_mm.apis import RetrievalInferencer
from ts2net_mm.apis.inferencer import build_model, load_config
from ts2net_mm.export import export_onnx, video_shape
from ts2net_mm.export.encoders import TEXT_ENCODER, VIDEO_ENCODER
from ts2net_mm.export.parity import draw_videos, open_encoder
from ts2net_mm.utils.cli import run as run_command

__all__ = ['run']

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    'ViT-B/32': 'configs/ts2net_msrvtt.py',
    'ViT-B/16': 'configs/ts2net_vit-b16_msrvtt.py',
    'ViT-B/32, 64 frames': 'configs/ts2net_activitynet.py',
}
PRECISIONS = ('float32', 'int8')
COLUMNS = ('', 'features of texts', 'of videos', 'text encoder', 'video encoder')
RECALLS = ('t2v/R1', 'v2t/R1')


def run(repeats: int, name: str, config: Config | None = None) -> list[Report | Table]:
    """Export a model with random weights; compare the files with the model, and time them."""
    config = config or load_config(ROOT / CONFIGS[name])
    with tempfile.TemporaryDirectory() as folder:
        inferencer = _with_random_weights(config, Path(folder))
        rows = _export(inferencer, Path(folder))
        timed = _time_video(name, inferencer, Path(folder), repeats)
    notes = [
        'features: the largest distance from that of the model, relative to its length, in four '
        'calls with one and two random sentences and videos, of which every second one is short; '
        'random weights'
    ]
    return [Table(f'{name}: exported encoders', notes, COLUMNS, rows), timed]


def _with_random_weights(config: Config, folder: Path) -> RetrievalInferencer:
    torch.manual_seed(0)
    config.model.init_cfg = None
    model: Any = build_model(config)
    model.init_weights()
    torch.save(model.state_dict(), folder / 'weights.pth')
    return RetrievalInferencer(config, folder / 'weights.pth', device='cpu')


def _export(inferencer: RetrievalInferencer, folder: Path) -> list[list[Any]]:
    """Write both precisions, and give a row for each."""
    shape, rows = video_shape(inferencer), []
    for precision in PRECISIONS:
        found = export_onnx(inferencer, folder / precision, shape=shape, int8=precision == 'int8')
        files = (TEXT_ENCODER, VIDEO_ENCODER)
        sizes = [f'{(folder / precision / file).stat().st_size / 1e6:,.0f} MB' for file in files]
        rows.append([precision, *(f'{found[file]:.1e}' for file in files), *sizes])
    return rows


def _time_video(name: str, inferencer: RetrievalInferencer, folder: Path, repeats: int) -> Report:
    """Encode one video with onnxruntime and with torch in turn."""
    shape = video_shape(inferencer)
    imgs, mask = draw_videos(1, shape.num_frames, shape, first_short=1)
    exact, quantised = (open_encoder(folder / one / VIDEO_ENCODER) for one in PRECISIONS)

    @torch.inference_mode()
    def encode() -> torch.Tensor:
        return inferencer.model.encode_video(imgs, mask)

    sides = [
        Side('onnxruntime', lambda: exact(imgs=imgs, frame_mask=mask)),
        Side('onnxruntime, int8', lambda: quantised(imgs=imgs, frame_mask=mask)),
        Side('torch', encode),
    ]
    title = f'{name}: a video of {shape.num_frames} frames of {shape.width} x {shape.height} pixels'
    return Report(title, [], measure(sides, repeats))


def measure_recall(config: Path, checkpoint: Path) -> dict[str, list[float]]:
    """Test the model, and the model with each of the exported encoders: R@1 in both directions."""
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(config)
        hooks = [hook for hook in cfg.get('custom_hooks') or [] if hook.type != 'EMAHook']
        cfg.merge_from_dict(
            dict(load_from=str(checkpoint), work_dir=folder, custom_hooks=hooks, log_level='ERROR')
        )
        inferencer = RetrievalInferencer(cfg, checkpoint, device='cpu')
        shape = video_shape(inferencer)
        runner = Runner.from_cfg(cfg)
        found = {'torch': _recalls(runner.test())}
        for precision in PRECISIONS:
            target = Path(folder) / precision
            export_onnx(inferencer, target, shape=shape, int8=precision == 'int8')
            _replace_encoders(runner.model, target)
            found[f'onnxruntime, {precision}'] = _recalls(runner.test_loop.run())
    return found


def _replace_encoders(model: Any, folder: Path) -> None:
    encode_text = open_encoder(folder / TEXT_ENCODER)
    encode_video = open_encoder(folder / VIDEO_ENCODER)
    model.encode_text = lambda text: encode_text(text=text)
    model.encode_video = lambda imgs, mask: encode_video(imgs=imgs, frame_mask=mask)


def _recalls(metrics: Mapping[str, float]) -> list[float]:
    return [metrics[key] for key in RECALLS]


def recall_table(config: Path, checkpoints: Sequence[Path]) -> Table:
    """Measure several checkpoints of a config."""
    rows = []
    for checkpoint in checkpoints:
        for name, recalls in measure_recall(config, checkpoint).items():
            rows.append([f'{checkpoint.parent.name}/{checkpoint.name}, {name}', *recalls])
    return Table(f'R@1 of {config.name}', [], ['', 'text to video', 'video to text'], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path)
    parser.add_argument('checkpoints', type=Path, nargs='+', metavar='CHECKPOINT')
    args = parser.parse_args(argv)
    MMLogger.get_instance('benchmarks', log_level='ERROR')
    logging.disable(logging.WARNING)  # advice of onnxruntime's quantisation
    return run_command(lambda: print(recall_table(args.config, args.checkpoints).markdown()))


if __name__ == '__main__':
    sys.exit(main())
