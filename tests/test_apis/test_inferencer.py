import dataclasses
import re
import time

import pytest
import torch
from mmaction.registry import DATASETS
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from ts2net_mm.apis import Gallery, RetrievalInferencer, find_videos
from ts2net_mm.apis.inferencer import build_model, load_config

TEXTS = ['a red circle', 'the blue one grows', 'x']


@pytest.fixture(scope='module')
def predictions(inferencer, video_folder, tmp_path_factory):
    """The model's own test run on the same videos, through data set and ``predict``."""
    ann_file = tmp_path_factory.mktemp('annotation') / 'test.json'
    names = [video.name for video in find_videos(video_folder)]
    entries = ', '.join(f'"{name}": ["a red circle"]' for name in names)
    ann_file.write_text(f'{{{entries}}}')
    dataset = DATASETS.build(
        dict(
            type='TextVideoDataset',
            ann_file=str(ann_file),
            data_prefix=dict(video=str(video_folder)),
            pipeline=inferencer.cfg.test_pipeline,
            test_mode=True,
        )
    )
    data = inferencer.model.data_preprocessor(pseudo_collate([*dataset]), False)
    with torch.no_grad():
        return inferencer.model(**data, mode='predict')


def test_videos_are_encoded_as_in_the_test_run(gallery, predictions):
    features = torch.stack([sample.features.frame_features for sample in predictions])
    mask = torch.stack([sample.features.frame_mask for sample in predictions])
    torch.testing.assert_close(gallery.frame_features, features, rtol=1e-4, atol=1e-5)
    assert gallery.frame_mask.tolist() == mask.tolist()
    assert gallery.frame_mask.sum(dim=1).tolist() == [4, 4, 4, 4, 2, 4]


def test_sentences_are_encoded_as_in_the_test_run(inferencer, predictions):
    expected = predictions[0].features.text_feature
    torch.testing.assert_close(inferencer.encode_texts(['a red circle'])[0], expected)


def test_a_sentence_does_not_depend_on_its_batch(inferencer, monkeypatch):
    monkeypatch.setattr('ts2net_mm.apis.inferencer.TEXTS_AT_A_TIME', 2)
    together = inferencer.encode_texts(TEXTS)
    alone = torch.cat([inferencer.encode_texts([text]) for text in TEXTS])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(
    ('texts', 'message'),
    [
        ([], 'expected a list of at least one sentence'),
        ('one string', 'expected a list of at least one sentence'),
        (['a', ''], "sentence 2 of 2 is ''"),
        (['a', ' \n'], re.escape(r"sentence 2 of 2 is ' \n'")),
        (['a', 3], 'sentence 2 of 2 is 3'),
    ],
)
def test_texts_that_are_not_sentences(inferencer, texts, message):
    with pytest.raises(ValueError, match=message):
        inferencer.encode_texts(texts)


def encode(inferencer, paths, **kwargs):
    batches = list(inferencer.encode_videos(paths, **kwargs))
    skipped = {path: why for batch in batches for path, why in batch.skipped.items()}
    names = [path for batch in batches for path in batch.paths]
    features = [feature for batch in batches for feature in batch.frame_features]
    return names, torch.stack(features), skipped


def test_a_video_does_not_depend_on_batch_and_workers(inferencer, video_folder):
    paths = [str(video.path) for video in find_videos(video_folder)]
    names, features, _ = encode(inferencer, paths, batch_size=4, num_workers=2)
    names_alone, features_alone, _ = encode(inferencer, paths, batch_size=1, num_workers=1)
    assert names == names_alone == paths
    torch.testing.assert_close(features, features_alone, rtol=1e-4, atol=1e-5)


def test_unreadable_videos_are_skipped(inferencer, video_folder, bad_folder):
    good = [str(video_folder / f'{index}.mp4') for index in range(3)]
    bad = [str(bad_folder / name) for name in ('empty.mp4', 'text.mp4')]
    mixed = [*bad, good[0], good[1], bad[0], good[2]]
    names, features, skipped = encode(inferencer, mixed, batch_size=2)
    assert names == good
    assert skipped == {bad[0]: 'the file is empty', bad[1]: 'it is damaged or no video'}
    torch.testing.assert_close(features, encode(inferencer, good)[1], rtol=1e-4, atol=1e-5)


class Hang(BaseTransform):
    """A transform without a time limit of its own."""

    def transform(self, results):
        time.sleep(60)


def test_a_video_that_hangs_is_skipped(inferencer, video_folder, monkeypatch):
    monkeypatch.setattr('ts2net_mm.apis.inferencer.VIDEO_TIMEOUT', 0.5)
    monkeypatch.setattr(inferencer, 'video_pipeline', [dict(type=Hang), *inferencer.video_pipeline])
    path = str(video_folder / '0.mp4')
    (batch,) = inferencer.encode_videos([path])
    assert batch.skipped == {path: 'no answer within 0.5 seconds'}
    assert inferencer.read_frames([path])[path].reason == 'no answer within 0.5 seconds'


@pytest.mark.parametrize('videos_at_a_time', [2, 100])
def test_search_ranks_by_the_cosine_without_scale(
    inferencer, gallery, monkeypatch, videos_at_a_time
):
    monkeypatch.setattr('ts2net_mm.apis.inferencer.VIDEOS_AT_A_TIME', videos_at_a_time)
    hits = inferencer.search('a red circle', gallery, topk=3)
    (text,) = inferencer.encode_texts(['a red circle'])
    scores, frames_of = {}, {}
    for video, frames, mask, seconds in zip(
        gallery.videos,
        gallery.frame_features,
        gallery.frame_mask,
        gallery.frame_seconds,
        strict=True,
    ):
        cosines = torch.cosine_similarity(text, frames[mask], dim=-1)
        weights = torch.softmax(4 * cosines / cosines.norm(), dim=0)
        scores[video.name] = float(weights @ cosines)
        frames_of[video.name] = cosines.tolist(), seconds[mask].tolist()
    ranked = sorted(scores, key=scores.get, reverse=True)[:3]
    assert [hit.name for hit in hits] == ranked
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert [hit.score for hit in hits] == pytest.approx([scores[name] for name in ranked], abs=1e-5)
    assert all(hit.path == gallery.folder / hit.name for hit in hits)
    for hit in hits:
        cosines, seconds = frames_of[hit.name]
        assert hit.frame_scores == pytest.approx(cosines, abs=1e-5)
        assert list(hit.frame_seconds) == seconds
        assert hit.best_seconds == seconds[cosines.index(max(cosines))]


@pytest.fixture
def word_model(config_file, tmp_path) -> RetrievalInferencer:
    """The model with an interaction of words and frames."""
    cfg = load_config(config_file)
    cfg.model.text_encoder.output = 'words'
    cfg.model.head.similarity = dict(type='TokenInteraction')
    cfg.model.head.token_weights = dict(type='TokenWeights', embed_dims=16)
    torch.manual_seed(0)
    weights = {k: 0.2 * torch.randn_like(v) for k, v in build_model(cfg).state_dict().items()}
    torch.save(weights, tmp_path / 'words.pth')
    return RetrievalInferencer(cfg, tmp_path / 'words.pth', device='cpu')


def test_search_with_words(word_model, video_folder, tmp_path):
    gallery = Gallery.open(video_folder, word_model, cache_dir=tmp_path)
    hits = word_model.search('a red circle', gallery, topk=6)
    (words,) = word_model.encode_texts(['a red circle'])
    words = words[words.any(dim=-1)]
    assert len(words) == 5  # with start and end
    for hit in hits:
        place = [video.name for video in gallery.videos].index(hit.name)
        mask = gallery.frame_mask[place]
        frames = gallery.frame_features[place][mask]
        cosines = torch.cosine_similarity(words[:, None], frames[None], dim=-1)
        of_words = words.norm(dim=-1) @ cosines.amax(dim=1)
        of_frames = frames.norm(dim=-1) @ cosines.amax(dim=0)
        assert hit.score == pytest.approx(float(of_words + of_frames) / 2, abs=1e-5)
        best = cosines.amax(dim=0)
        times = gallery.frame_seconds[place][mask][best > best.max() - 1e-6]
        assert min(abs(times - hit.best_seconds)) < 1e-6
    with pytest.raises(ValueError, match='compares the words of a sentence, but an index'):
        _ = word_model.index_score


def test_equal_scores_keep_the_order_of_the_names(inferencer, gallery):
    same = gallery.frame_features[:1].expand(6, -1, -1)
    mask = gallery.frame_mask[:1].expand(6, -1)
    twins = dataclasses.replace(gallery, frame_features=same, frame_mask=mask)
    hits = inferencer.search('a red circle', twins, topk=100)
    assert [hit.name for hit in hits] == [video.name for video in gallery.videos]


def test_searches_that_are_impossible(inferencer, gallery):
    for changes, topk, message in (
        ({}, 0, 'topk=0, expected at least 1'),
        (dict(fingerprint='other'), 1, 'encoded by another model'),
        (dict(videos=[]), 1, 'holds no video'),
    ):
        with pytest.raises(ValueError, match=message):
            inferencer.search('a', dataclasses.replace(gallery, **changes), topk=topk)


def test_weights_of_another_architecture_are_refused(config_file, checkpoint, tmp_path):
    state_dict = torch.load(checkpoint)['state_dict']
    del state_dict['head.logit_scale']
    torch.save(dict(state_dict=state_dict), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'other\.pth does not fit.*missing: head\.logit_scale'):
        RetrievalInferencer(config_file, tmp_path / 'other.pth', device='cpu')


@pytest.mark.parametrize(
    ('name', 'text', 'reason'),
    [
        ('a.py', 'x = = 1', r'config .*a\.py cannot be read: SyntaxError'),
        ('a.pth', 'x', r'config .*a\.pth cannot be read'),
        ('a.py', 'x = 1', r"config .*a\.py has no model, found keys \['x'\]"),
    ],
)
def test_configs_that_cannot_be_used(tmp_path, name, text, reason):
    path = tmp_path / name
    with pytest.raises(FileNotFoundError, match=f'config .*{name} does not exist'):
        load_config(path)
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        load_config(path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(neck=dict(bogus=1)), r"tiny\.py cannot be built: .*TokenSelection.*'bogus'"),
        (dict(type='NoSuchNet'), 'cannot be built: KeyError: NoSuchNet is not in'),
    ],
)
def test_models_that_cannot_be_built(config_file, change, message):
    config = Config.fromfile(config_file)
    config.merge_from_dict(dict(model=change))
    with pytest.raises(ValueError, match=message):
        build_model(config)


def test_the_fingerprint_depends_on_weights_and_settings(
    inferencer, config_file, checkpoint, tmp_path
):
    twin = RetrievalInferencer(config_file, checkpoint, device='cpu')
    assert twin.fingerprint == inferencer.fingerprint
    config = Config.fromfile(config_file)
    config.test_pipeline[1].num_frames = 3
    other = RetrievalInferencer(config, checkpoint, device='cpu')
    assert other.fingerprint != inferencer.fingerprint
    state_dict = torch.load(checkpoint)['state_dict']
    state_dict['head.logit_scale'] += 1e-3
    torch.save(state_dict, tmp_path / 'new.pth')
    other = RetrievalInferencer(config_file, tmp_path / 'new.pth', device='cpu')
    assert other.fingerprint != inferencer.fingerprint


def test_half_precision(config_file, checkpoint, inferencer, gallery, video_folder, tmp_path):
    half = RetrievalInferencer(config_file, checkpoint, device='cpu', amp=True)
    assert half.fingerprint != inferencer.fingerprint
    found = Gallery.open(video_folder, half, cache_dir=tmp_path).frame_features
    text, expected = half.encode_texts(['a red circle']), inferencer.encode_texts(['a red circle'])
    for one, other in ((found, gallery.frame_features), (text, expected)):
        assert one.dtype == torch.float32
        assert 0 < (one - other).norm() < 0.03 * other.norm()


@pytest.mark.parametrize('device', ['nonsense', 'cuda:99'])
def test_a_device_that_does_not_exist(config_file, checkpoint, device):
    with pytest.raises(ValueError, match=f"device '{device}' cannot be used"):
        RetrievalInferencer(config_file, checkpoint, device=device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_gives_the_same_hits(config_file, checkpoint, inferencer, gallery):
    on_gpu = RetrievalInferencer(config_file, checkpoint, device='cuda')
    hits = on_gpu.search('a red circle', gallery)
    expected = inferencer.search('a red circle', gallery)
    assert [hit.score for hit in hits] == pytest.approx([h.score for h in expected], abs=1e-4)
    paths = [video.path for video in gallery.videos]
    features = encode(on_gpu, paths)[1]
    torch.testing.assert_close(features, gallery.frame_features, rtol=1e-2, atol=1e-3)
