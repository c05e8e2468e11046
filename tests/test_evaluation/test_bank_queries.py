"""The captions of a query bank."""

import json

import pytest

from ts2net_mm.evaluation.bank_queries import draw_queries, query_bank_options


@pytest.fixture
def ann_file(tmp_path):
    annotations = {f'{video}.mp4': [f'{video} {n}' for n in range(4)] for video in range(25)}
    annotations['кошка.mp4'] = dict(captions=['кошка спит'], start=1, end=2)
    path = tmp_path / 'train.json'
    path.write_text(json.dumps(annotations))
    return str(path)


def draw(ann_file, **settings):
    return draw_queries(query_bank_options(dict(ann_file=ann_file, **settings)))


@pytest.mark.parametrize('num_queries', [None, 101, 5000])
def test_all_captions_in_their_order(ann_file, num_queries):
    queries = draw(ann_file, num_queries=num_queries)
    assert len(queries.captions) == 101
    assert queries.captions[:5] == ['0 0', '0 1', '0 2', '0 3', '1 0']
    assert queries.video_ids[:5] == ['0.mp4'] * 4 + ['1.mp4']
    assert (queries.captions[-1], queries.video_ids[-1]) == ('кошка спит', 'кошка.mp4')


def test_a_seed_draws_the_same_captions_again(ann_file):
    first, again, other = (draw(ann_file, num_queries=30, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(set(first.captions)) == 30
    for caption, video_id in zip(first.captions, first.video_ids, strict=True):
        assert caption.split()[0] == video_id.removesuffix('.mp4') or video_id == 'кошка.mp4'


def test_every_caption_has_the_same_chance(ann_file):
    drawn = [
        caption
        for seed in range(200)
        for caption in draw(ann_file, num_queries=50, seed=seed).captions
    ]
    counts = [drawn.count(caption) for caption in draw(ann_file, num_queries=None).captions]
    assert min(counts) > 60 and max(counts) < 140  # about 99 each


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ('train.json', "query_bank='train.json' must be a dict with 'ann_file'"),
        ({}, r"query_bank=\{\} must be a dict with 'ann_file'"),
        (dict(ann_file='a', size=3), r"unknown settings \['size'\], it takes \['ann_file', 'num_"),
        (dict(ann_file=3), 'ann_file=3 must be a path'),
        (dict(ann_file=''), "ann_file='' must be a path"),
        (dict(ann_file='a', num_queries=0), 'query_bank: num_queries=0 must be a whole number of'),
        (dict(ann_file='a', num_queries=1e4), 'num_queries=10000.0 must be a whole number'),
        (dict(ann_file='a', num_queries=True), 'num_queries=True must be a whole number'),
        (dict(ann_file='a', seed=-1), 'seed=-1 must be a whole number of at least 0'),
        (dict(ann_file='a', seed=None), 'seed=None must be a whole number of at least 0'),
        (dict(ann_file='a', topk=0), 'query_bank: topk=0 must be'),
        (dict(ann_file='a', inverse_temperature=-1), 'query_bank: inverse_temperature=-1 must'),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        query_bank_options(settings)


def test_missing_file():
    with pytest.raises(FileNotFoundError, match='annotation file nowhere.json does not exist'):
        draw('nowhere.json')


def test_file_that_is_no_annotation(tmp_path):
    path = tmp_path / 'train.json'
    path.write_text('{"0.mp4": []}')
    with pytest.raises(ValueError, match="train.json: '0.mp4' has no captions"):
        draw(str(path))
