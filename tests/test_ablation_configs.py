"""What the configs of configs/ablations change at the size of their data set."""

from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

ABLATIONS = Path(__file__).parents[1] / 'configs' / 'ablations'
GRID = {'msrvtt': 7, 'moving-shapes': 3}  # patches in a row
NUM_FRAMES = {'msrvtt': 12, 'moving-shapes': 6}
TRAINING_CAPTIONS = {'msrvtt': 'train_9k.json', 'moving-shapes': 'train.json'}
# tokens that move forward and back
SHIFTED = {
    'shift-last-block': (range(1, 50, 7), range(4, 50, 7), range(1, 10, 5), range(4, 10, 5)),
    'shift-fewer-tokens': ((1, 13, 25, 37, 49), (4, 16, 28, 40), (1,), (4,)),
    'shift-more-tokens': (range(1, 50, 4), range(3, 50, 4), (1, 4, 7), (2, 5, 8)),
    'shift-other-offsets': (range(3, 50, 7), range(6, 50, 7), (3, 8), (2, 7)),
    'shift-forward': (range(1, 50, 7), (), (1, 6), ()),
    'shift-backward': ((), range(4, 50, 7), (), (4, 9)),
    'shift-all-patches': (range(1, 50, 2), range(2, 50, 2), range(1, 10, 2), range(2, 10, 2)),
    'shift-whole-frame': (range(1, 50), (), range(1, 10), ()),
}
BLOCKS = {
    'no-shift': ((), ()),
    'shift-first-blocks': ((0, 1), (0, 1)),
    'shift-last-block': ((11,), (2,)),
    'shift-all-blocks': (range(12), range(3)),
    'channel-shift': ((10, 11), (1, 2)),
}
# kept tokens of a frame
KEPT = {
    'cls-only': 1,
    'patch-mean': 2,
    'top1': 2,
    'top2': 3,
    'random-patches': 4,
    'first-patches': 4,
    'most-attended': 4,
    'selection-released': 4,
    'selection-paper': 4,
    'top5': 6,
    'top7': 8,
}


def read(part: str, variant: str, data: str) -> Config:
    init_default_scope('mmaction')
    return Config.fromfile(ABLATIONS / part / f'ts2net_{variant}_{data}.py')


def build_backbone(variant: str, data: str):
    """The backbone of a config with the tokens, frames and blocks that it has, but few channels."""
    return MODELS.build(
        dict(read('shift', variant, data).model.backbone, embed_dims=16, num_heads=1, out_dims=16)
    )


@pytest.mark.parametrize('data', GRID)
@pytest.mark.parametrize('variant', SHIFTED)
def test_shifted_tokens(variant, data):
    num_tokens = 1 + GRID[data] ** 2
    backbone = build_backbone(variant, data)
    frames = torch.arange(3)[None, :, None, None].expand(1, 3, num_tokens, 16)
    moved = (backbone.shift(frames) - frames)[0, 1, :, 0]
    forward, backward = SHIFTED[variant][:2] if data == 'msrvtt' else SHIFTED[variant][2:]
    assert (moved == -1).nonzero().flatten().tolist() == list(forward)
    assert (moved == 1).nonzero().flatten().tolist() == list(backward)


@pytest.mark.parametrize('data', GRID)
@pytest.mark.parametrize('variant', BLOCKS)
def test_blocks_that_shift(variant, data):
    found = build_backbone(variant, data).shift_layers
    assert found == set(BLOCKS[variant][data != 'msrvtt'])


def build(part: str, variant: str, data: str):
    """The model of a config, without memory."""
    with torch.device('meta'):
        return MODELS.build(read(part, variant, data).model)


@pytest.mark.parametrize('data', GRID)
@pytest.mark.parametrize(
    ('variant', 'num_blocks'), [('1-block', 1), ('2-blocks', 2), ('4-blocks', 4)]
)
def test_temporal_blocks(variant, num_blocks, data):
    assert len(build('temporal', variant, data).head.temporal.layers) == num_blocks


@pytest.mark.parametrize('data', GRID)
def test_a_position_for_each_frame(data):
    temporal = build('temporal', 'frame-positions', data).head.temporal
    assert temporal.positions == 'frame'
    assert len(temporal.pos_embed) >= NUM_FRAMES[data]


@pytest.mark.parametrize('data', GRID)
def test_gradients_of_the_scores(data):
    found = {
        variant: read('selection', variant, data).model.neck
        for variant in ('full-gradient', 'straight-through', 'top1')
    }
    assert {name: neck.get('gradient') for name, neck in found.items()} == {
        'full-gradient': 'full',
        'straight-through': None,
        'top1': None,
    }
    assert found['straight-through'].train_mode == 'straight_through'


@pytest.mark.parametrize('data', GRID)
@pytest.mark.parametrize('temperature', [1, 2, 8, 16])
def test_temperatures(temperature, data):
    similarity = read('similarity', f'temperature-{temperature}', data).model.head.similarity
    assert MODELS.build(similarity).temperature == temperature


@pytest.mark.parametrize('data', GRID)
@pytest.mark.parametrize('order', ['reversed', 'shuffled'])
def test_the_order_of_frames_changes_in_the_test_alone(order, data):
    cfg = read('input', f'{order}-test', data)
    base = Config.fromfile(ABLATIONS.parent / f'ts2net_{data}.py')
    steps = cfg.test_dataloader.dataset.pipeline
    (place,) = (n for n, step in enumerate(steps) if step.type == 'ReorderFrames')
    assert steps[place].order == order
    assert [*steps[:place], *steps[place + 1 :]] == base.test_dataloader.dataset.pipeline
    assert cfg.train_dataloader == base.train_dataloader
    assert cfg.val_dataloader == base.val_dataloader
    assert cfg.model == base.model


@pytest.mark.parametrize('data', GRID)
@pytest.mark.parametrize('variant', ['inverted-softmax', 'query-bank', 'sinkhorn', 'sinkhorn-bank'])
def test_normalisations_change_the_test_alone(variant, data):
    """So that the weights of the base can be tested with them."""
    cfg = read('normalisation', variant, data).to_dict()
    base = Config.fromfile(ABLATIONS.parent / f'ts2net_{data}.py').to_dict()
    found, expected = cfg.pop('test_evaluator'), base.pop('test_evaluator')
    assert cfg == base
    bank = base['train_dataloader']['dataset']['data_root'] + TRAINING_CAPTIONS[data]
    if variant.endswith('bank'):
        expected['query_bank'] = dict(ann_file=bank)
    if variant.startswith('sinkhorn'):
        expected['sinkhorn'] = True
    assert found == expected


@pytest.mark.parametrize('data', GRID)
@pytest.mark.parametrize('position', ['head', 'tail', 'uniform'])
def test_where_frames_are_taken(position, data):
    cfg = read('input', f'{position}-frames', data)
    for split in ('train', 'val', 'test'):
        (sampling,) = (
            step
            for step in cfg[f'{split}_dataloader'].dataset.pipeline
            if step.type == 'SampleFramesByRate'
        )
        assert (sampling.position, sampling.num_frames) == (position, NUM_FRAMES[data])


@pytest.mark.parametrize('data', GRID)
@pytest.mark.parametrize(
    ('variant', 'rank', 'in_a_block'),
    [('lora', 8, 2), ('lora-r32', 32, 2), ('lora-mlp', 8, 4), ('lora-last-blocks', 8, 2)],
)
def test_where_adapters_are(variant, rank, in_a_block, data):
    pytest.importorskip('peft')
    model = build('adaptation', variant, data)
    for encoder in (model.backbone, model.text_encoder):
        trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
        assert all('.lora_' in name for name in trained)
        blocks = {int(name.split('.')[1]) for name in trained}
        last = len(encoder.layers)
        assert blocks == set(range(last - 2 if variant == 'lora-last-blocks' else 0, last))
        assert len(trained) == 2 * in_a_block * len(blocks)
        assert encoder.lora.rank == rank


@pytest.mark.parametrize('data', GRID)
@pytest.mark.parametrize('variant', KEPT)
def test_kept_tokens_have_positions(variant, data):
    model = read('selection', variant, data).model
    assert MODELS.build(model.neck).num_tokens == KEPT[variant]
    assert model.head.temporal.num_positions >= NUM_FRAMES[data] * KEPT[variant]


@pytest.mark.parametrize('data', GRID)
def test_the_selection_of_the_release_is_the_base_model(data):
    base = Config.fromfile(ABLATIONS.parent / f'ts2net_{data}.py').model
    written_out = dict(read('selection', 'selection-released', data).model.neck)
    assert written_out.pop('candidates') == 'patches'
    assert written_out == base.neck


def test_two_variants_in_a_config(tmp_path):
    """A variant as the base of the other, as the docs say."""
    first = ABLATIONS / 'selection' / 'ts2net_most-attended_moving-shapes.py'
    line = "model = dict(backbone=dict(shift=dict(type='ChannelShift', tokens='cls')))"
    (tmp_path / 'both.py').write_text(f'_base_ = {str(first)!r}\n{line}\n')
    init_default_scope('mmaction')
    model = MODELS.build(Config.fromfile(tmp_path / 'both.py').model)
    kinds = type(model.neck).__name__, type(model.backbone.shift).__name__
    assert kinds == ('FixedSelection', 'ChannelShift')
    imgs, mask = torch.rand(2, 6, 3, 48, 48), torch.ones(2, 6, dtype=torch.bool)
    assert model.encode_video(imgs, mask).shape == (2, 6, 64)
