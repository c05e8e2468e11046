"""configs/clip_zero-shot.py searches with CLIP as it comes."""

from pathlib import Path

import decord
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from ts2net_mm.apis import Gallery, RetrievalInferencer

CONFIG = Path(__file__).parents[2] / 'configs' / 'clip_zero-shot.py'
SENTENCES = ('a dog catches a ball', 'two people dance')


@pytest.mark.slow
@torch.no_grad()
def test_scores_are_those_of_open_clip(make_video, tmp_path):
    torch.manual_seed(0)
    clip, _, preprocess = open_clip.create_model_and_transforms('ViT-B-32-quickgelu')
    clip.eval()
    torch.save(clip.state_dict(), tmp_path / 'clip.pt')
    names = [f'{seed}.mp4' for seed in range(3)]
    for seed, name in enumerate(names):
        make_video(tmp_path / 'videos' / name, seed=seed, frames=6 * (seed + 1))

    texts = clip.encode_text(open_clip.get_tokenizer('ViT-B-32')(list(SENTENCES)))
    videos = []
    for name in names:
        reader = decord.VideoReader(str(tmp_path / 'videos' / name))
        frames = [Image.fromarray(reader[n].asnumpy()) for n in range(0, len(reader), 6)]
        images = clip.encode_image(torch.stack([preprocess(frame) for frame in frames]))
        videos.append(F.normalize(images, dim=-1).mean(dim=0))
    expected = F.normalize(texts, dim=-1) @ F.normalize(torch.stack(videos), dim=-1).T
    del clip

    inferencer = RetrievalInferencer(CONFIG, tmp_path / 'clip.pt', device='cpu')
    gallery = Gallery.open(tmp_path / 'videos', inferencer, cache_dir=tmp_path / 'cache')
    for sentence, row in zip(SENTENCES, expected, strict=True):
        hits = {hit.name: hit.score for hit in inferencer.search(sentence, gallery, topk=3)}
        assert [hits[name] for name in names] == pytest.approx(row.tolist(), abs=1e-5)
