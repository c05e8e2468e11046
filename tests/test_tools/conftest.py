"""The modules of the benchmarks, and a small model for them."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / 'tools/benchmarks'
MODULES = (
    'measuring',
    'report',
    'selection',
    'similarity',
    'sequence_first',
    'train_step',
    'optimizer',
    'fp16_arithmetic',
    'core',
)


@pytest.fixture
def load(monkeypatch):
    """Import a module of the benchmarks as the script does."""
    monkeypatch.syspath_prepend(FOLDER)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def tiny_model():
    return dict(
        type='TS2Net',
        backbone=dict(
            type='TokenShiftViT',
            embed_dims=32,
            num_layers=3,
            num_heads=2,
            img_size=32,
            patch_size=8,
            out_dims=16,
            shift_layers=(1, 2),
            num_shift_tokens=4,
            frozen_stages=0,
        ),
        text_encoder=dict(
            type='CLIPTextEncoder', vocab_size=50, width=32, num_layers=2, num_heads=2, out_dims=16
        ),
        neck=dict(type='TokenSelection', embed_dims=16, topk=3, num_samples=20),
        head=dict(
            type='RetrievalHead',
            temporal=dict(type='TemporalTransformer', embed_dims=16, num_layers=2, num_heads=2),
        ),
    )
