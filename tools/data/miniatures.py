"""Create miniature official files of all data sets, with short rendered videos.

They serve to try a preparation, a config or a change of this repository without the real data.
They have the quirks of the real files: videos that are missing, in sub-folders or of other
formats, ids that are listed but not annotated, repeated ids, Windows line ends and UTF-8.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

CODECS = {'.mp4': 'mp4v', '.avi': 'MJPG', '.webm': 'VP80', '.mov': 'mp4v'}
COLOURS = {'red': (0, 0, 220), 'green': (0, 200, 0), 'blue': (220, 0, 0), 'white': (240, 240, 240)}
SIZE = (48, 64)
FPS = 4


@dataclass(frozen=True)
class Miniature:
    """Folders to prepare.

    Args:
        annotations: The official files.
        videos: The video files.
    """

    annotations: Path
    videos: Path

    @classmethod
    def in_folder(cls, root: Path) -> Miniature:
        """Create both folders."""
        folders = cls(root / 'annotations', root / 'videos')
        for folder in (folders.annotations, folders.videos):
            folder.mkdir(parents=True, exist_ok=True)
        return folders

    def write(self, name: str, text: str, *, windows: bool = False) -> None:
        """Write an official file; with ``windows`` as its editors save it, with BOM and CRLF."""
        if windows:
            text = '\ufeff' + text.replace('\n', '\r\n')
        (self.annotations / name).write_bytes(text.encode('utf-8'))

    def write_json(self, name: str, content: object) -> None:
        """Write an official JSON file."""
        self.write(name, json.dumps(content, ensure_ascii=False))

    def render(self, *names: str, seconds: float = 2) -> None:
        """Render a square that moves over noise, one video per name."""
        for name in names:
            render_video(self.videos / name, seconds)


def render_video(path: Path, seconds: float) -> None:
    """Render one video; colour, direction and background depend on its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.name.encode()))
    codec = cv2.VideoWriter_fourcc(*CODECS[path.suffix])  # type: ignore[attr-defined]
    writer = cv2.VideoWriter(str(path), codec, FPS, SIZE[::-1])
    if not writer.isOpened():
        raise OSError(f'OpenCV cannot write {path}')
    background = rng.integers(0, 60, (*SIZE, 3), dtype=np.uint8)
    colour = list(COLOURS.values())[rng.integers(len(COLOURS))]
    step = int(rng.choice([-2, 2]))
    for number in range(int(seconds * FPS)):
        frame = background.copy()
        left = (10 + step * number) % (SIZE[1] - 16)
        frame[16:32, left : left + 16] = colour
        writer.write(frame)
    writer.release()


def sentence(video_id: str, number: int) -> str:
    """Return a sentence about a video; every third one needs UTF-8."""
    colour = list(COLOURS)[(sum(video_id.encode()) + number) % len(COLOURS)]
    place = ('over a field of grey noise', 'to the side', 'past the café “Zoë”')[number % 3]
    return f'a {colour} square moves {place}'


def make_msrvtt(root: Path) -> Miniature:
    """MSR-VTT: 3 captions per video instead of 20; one video is missing, one has two files."""
    mini = Miniature.in_folder(root)
    train = [f'video{number}' for number in range(6)]
    test = [f'video{number}' for number in range(7010, 7014)]
    sentences = [
        dict(video_id=one, caption=sentence(one, number), sen_id=number)
        for number in range(3)
        for one in (*train, *test)
    ]
    videos = [dict(video_id=one, split='train', url='') for one in train]
    videos += [dict(video_id=one, split='test', url='') for one in test]
    mini.write_json('MSRVTT_data.json', dict(info={}, videos=videos, sentences=sentences))
    # 9k has the videos of the full test that are not in 1kA; one id is not annotated
    mini.write('MSRVTT_train.9k.csv', _csv('video_id', *train, test[3], 'video9'), windows=True)
    mini.write('MSRVTT_train.7k.csv', _csv('video_id', *train))
    rows = [f'ret{n},msr{one[5:]},{one},"{sentence(one, n)}, slowly"' for n, one in enumerate(test)]
    mini.write('MSRVTT_JSFUSION_test.csv', _csv('key,vid_key,video_id,sentence', *rows[:3]))
    mini.render('TrainValVideo/video0.mp4', 'TrainValVideo/video1.avi', 'TrainValVideo/video2.webm')
    mini.render('TrainValVideo/video3.mp4', 'video5.mp4', 'video5.webm')  # video4 is missing
    mini.render(*(f'TestVideo/{one}.mp4' for one in test))
    return mini


def make_msvd(root: Path) -> Miniature:
    """MSVD: a pickle as Python 2 wrote it, .avi videos, ragged numbers of captions."""
    mini = Miniature.in_folder(root)
    ids = [f'-4wsuPCjDB{letter}_{n}_{n + 5}' for n, letter in enumerate('cdefghijkl')]
    captions = {
        one.encode(): [sentence(one, k).encode().split() for k in range(2 + n % 3)]
        for n, one in enumerate(ids)
    }
    # protocol 2 would write bytes as function calls; bytes of protocol 3 are read like Python 2's
    (mini.annotations / 'raw-captions.pkl').write_bytes(pickle.dumps(captions, protocol=3))
    mini.write('train_list.txt', _csv(*ids[:5]), windows=True)
    mini.write('val_list.txt', _csv(ids[5], ids[9]))
    mini.write('test_list.txt', _csv(*ids[6:9]))
    mini.render(*(f'{one}.avi' for one in ids if one != ids[1]))
    return mini


def make_vatex(root: Path) -> Miniature:
    """VATEX: the retrieval split with its captions."""
    mini = Miniature.in_folder(root)
    ids = [f'Ptf_2VRj-V{n}_00012{n}_00013{n}' for n in range(10)]
    captions = {one: [sentence(one, number) for number in range(4)] for one in ids}
    mini.write_json('ref_captions.json', captions)
    mini.write('train_list.txt', _csv(*ids[:5]), windows=True)
    mini.write('validation_list.txt', _csv(ids[5], ids[9]))
    mini.write('test_list.txt', _csv(*ids[6:9]))
    mini.render(*(f'{one}.mp4' for one in ids if one != ids[8]), f'{ids[8]}.webm')
    (mini.videos / f'{ids[0]}.mp4').write_bytes(b'')  # an interrupted download
    return mini


def make_vatex_own(root: Path) -> Miniature:
    """VATEX's own release, in English and Chinese, without lists."""
    mini = Miniature.in_folder(root)
    ids = [f'Ptf_2VRj-V{n}_00012{n}_00013{n}' for n in range(8)]
    entries = [
        dict(
            videoID=one,
            enCap=[sentence(one, number) for number in range(3)],
            chCap=[f'一个方块移动{number}' for number in range(2)],
        )
        for one in ids
    ]
    mini.write_json('vatex_training_v1.0.json', entries[:4])
    mini.write_json('vatex_validation_v1.0.json', entries[4:6])
    english = [dict(videoID=entry['videoID'], enCap=entry['enCap']) for entry in entries[6:]]
    mini.write_json('vatex_public_test_english_v1.1.json', english)
    mini.render(*(f'{one}.mp4' for one in ids))
    return mini


def make_lsmdc(root: Path) -> Miniature:
    """LSMDC: clip ids that repeat, dots in them, quotation marks, a folder for each film."""
    mini = Miniature.in_folder(root)

    def row(clip: str, number: int) -> str:
        times = '\t'.join(clip.rsplit('_', 1)[1].split('-') * 2)
        return f'{clip}\t{times}\tSOMEONE says "go" as {sentence(clip, number)}.'

    films = [f'{n:04}_Film_{name}' for n, name in enumerate(('One', 'Two', 'Three'), start=1)]
    clips = [[f'{film}_00.0{n}.51.926-00.0{n}.54.129' for n in range(4)] for film in films]
    train = [row(clip, 0) for clip in clips[0]] + [row(clips[0][1], 1), row(clips[0][1], 2)]
    mini.write('LSMDC16_annos_training.csv', _csv(*train), windows=True)
    mini.write('LSMDC16_annos_val.csv', _csv(*(row(clip, 0) for clip in clips[1][:2])))
    test = _csv(*(row(clip, 0) for clip in clips[2]))
    mini.write('LSMDC16_challenge_1000_publictect.csv', test)
    for film, names in zip(films, clips, strict=True):
        mini.render(*(f'{film}/{clip}.avi' for clip in names if clip != clips[0][3]))
    return mini


def make_activitynet(root: Path) -> Miniature:
    """ActivityNet Captions: files with and without the prefix of the ids; one id not annotated."""
    mini = Miniature.in_folder(root)
    ids = [f'v_QOlSCBRmfW{n}' for n in range(9)]
    content = {
        one: dict(
            duration=5.5,
            timestamps=[[0.28, 2.15], [2.13, 5.1]],
            sentences=[f'A man and {sentence(one, n)}.', f' Later {sentence(one, n + 1)}.'],
        )
        for n, one in enumerate(ids)
    }
    mini.write_json('train_ids.json', [*ids[:5], 'v_notannotated'])
    mini.write_json('val_ids.json', ids[5:])
    mini.write_json('train.json', {one: content[one] for one in ids[:5]})
    mini.write_json('val_1.json', {one: content[one] for one in ids[5:]})
    mini.render(*(f'{one[2:]}.mp4' for one in ids[:3]), f'{ids[3]}.mp4', seconds=6)
    mini.render(*(f'{one}.webm' for one in ids[5:]), seconds=6)  # ids[4] is missing
    return mini


def make_didemo(root: Path) -> Miniature:
    """DiDeMo: several descriptions per video, one of 35 seconds, odd extensions, a twin."""
    mini = Miniature.in_folder(root)
    ids = [f'1009039{n}@N00_408{n}_274c77d26a' for n in range(9)]
    names = [f'{one}.{"mov" if n % 2 else "avi"}' for n, one in enumerate(ids)]
    names[3] = f'{ids[3]}.'
    twin = f'{ids[7]}.mp4'

    def entries(some: Sequence[str]) -> list[dict]:
        return [
            dict(video=name, description=sentence(name, k), times=[[k, k]], annotation_id=k)
            for k in range(3)
            for name in some
        ]

    splits = dict(train=names[:4], val=[names[4], names[8]], test=names[5:8])
    for split, some in splits.items():
        mini.write(f'{split}_list.txt', _csv(*some), windows=split == 'train')
        described = [*some, twin] if split == 'test' else some
        mini.write_json(f'{split}_data.json', entries(described))
    mini.render(*(name for name in names[1:] if name not in names[2:4]), twin)
    mini.render(f'{ids[3]}.mov')
    (mini.videos / f'{ids[3]}.mov').rename(mini.videos / names[3])
    mini.render(names[0], seconds=35)  # and names[2] is missing
    return mini


def make_pairs(root: Path) -> Miniature:
    """Lists of pairs: a table with repeated videos in folders, and JSON lines with times."""
    mini = Miniature.in_folder(root)
    names = [f'cam{n % 2}/clip{n // 2}.mp4' for n in range(8)]
    rows = [f'{name},"{sentence(name, k)}, slowly"' for name in names[:5] for k in range(2)]
    mini.write('train.csv', _csv('video,caption', *rows), windows=True)
    pairs = [dict(video=name, caption=[sentence(name, 0)], start=0, end=1.5) for name in names[5:]]
    mini.write('test.jsonl', _csv(*(json.dumps(pair, ensure_ascii=False) for pair in pairs)))
    mini.render(*names)
    return mini


MAKERS: dict[str, Callable[[Path], Miniature]] = {
    'msrvtt': make_msrvtt,
    'msvd': make_msvd,
    'vatex': make_vatex,
    'vatex-own': make_vatex_own,
    'lsmdc': make_lsmdc,
    'activitynet': make_activitynet,
    'didemo': make_didemo,
    'pairs': make_pairs,
}


def _csv(*rows: str) -> str:
    return '\n'.join(rows) + '\n'


def main(argv: Sequence[str] | None = None) -> int:
    """Create all of them and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help='folder to write')
    args = parser.parse_args(argv)
    try:
        for name, make in MAKERS.items():
            made = make(args.out / name)
            print(f'{name}: {made.annotations}, {made.videos}')
    except OSError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
