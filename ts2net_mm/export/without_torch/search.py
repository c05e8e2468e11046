"""Search encoded videos by a sentence, with numpy, onnxruntime, ftfy and regex.

python search.py features.npz 'a dog catches a ball'
"""

import gzip
import html
import json
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import ftfy
import numpy as np
import onnxruntime
import regex

HERE = Path(__file__).parent
SETTINGS = json.loads((HERE / 'export.json').read_text(encoding='utf-8'))


class Tokenizer:
    """CLIP's byte-pair encoding."""

    def __init__(self, settings):
        self.settings = settings
        with gzip.open(HERE / settings['vocabulary'], 'rt', encoding='utf-8') as file:
            lines = file.read().split('\n')[1 : 1 + settings['num_merges']]
        self.ranks = {tuple(line.split()): rank for rank, line in enumerate(lines)}
        visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
        hidden = [byte for byte in range(256) if byte not in visible]
        self.letters = {byte: chr(byte) for byte in visible}
        self.letters |= {byte: chr(256 + place) for place, byte in enumerate(hidden)}
        letters = list(self.letters.values())
        units = [*letters, *(letter + '</w>' for letter in letters), *map(''.join, self.ranks)]
        self.ids = {unit: number for number, unit in enumerate(units)}

    def __call__(self, sentence):
        """Convert a sentence to token ids: (1, context_length)."""
        words = ' '.join(html.unescape(html.unescape(ftfy.fix_text(sentence))).split()).lower()
        found = regex.findall(self.settings['pattern'], words, regex.IGNORECASE)
        inner = [number for word in found for number in self.encode_word(word)]
        row = np.full((1, self.settings['context_length']), self.settings['padding'])
        ids = [self.settings['start'], *inner[: row.size - 2], self.settings['end']]
        row[0, : len(ids)] = ids
        return row

    def encode_word(self, word):
        """Join the pair that comes first in the vocabulary until no pair is in it."""
        *first, last = (self.letters[byte] for byte in word.encode())
        units = [*first, last + '</w>']
        while pairs := [pair for pair in pairwise(units) if pair in self.ranks]:
            best, joined = min(pairs, key=self.ranks.__getitem__), []
            while units:
                size = 2 if tuple(units[:2]) == best else 1
                joined.append(''.join(units[:size]))
                units = units[size:]
            units = joined
        return [self.ids[unit] for unit in units]


def encode_sentence(sentence):
    """Encode a sentence: (D,)."""
    session = onnxruntime.InferenceSession(HERE / SETTINGS['text']['file'])
    return session.run(None, {'text': Tokenizer(SETTINGS['text'])(sentence)})[0][0]


def similarity(text, frames, mask):
    """Compare a sentence with videos: (D,), (N, T, D), (N, T) bool -> (N,), without the scale."""
    text, frames = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (text, frames))
    if SETTINGS['similarity']['type'] == 'MeanPooledSimilarity':
        pooled = (frames * mask[..., None]).sum(axis=1)
        return pooled @ text / np.linalg.norm(pooled, axis=-1)
    cosines = np.where(mask, frames @ text, 0)
    sharp = SETTINGS['similarity']['temperature'] * cosines
    sharp = sharp / np.linalg.norm(cosines, axis=1, keepdims=True)
    weights = np.where(mask, np.exp(sharp), 0)
    return (weights * cosines).sum(axis=1) / weights.sum(axis=1)


def main(index, sentence, topk=5):
    """Print the best parts of the videos of an index, which may be whole videos."""
    try:
        parts = dict(np.load(index))
        fingerprint = parts['fingerprint']
    except (OSError, ValueError, TypeError, LookupError, zipfile.BadZipFile) as error:
        sys.exit(f'error: {index} cannot be read: {error}')
    if fingerprint != SETTINGS['fingerprint']:
        sys.exit(f'error: {index} was encoded by another model')
    frames = parts['features']
    mask = np.arange(frames.shape[1]) < parts['num_frames'][:, None]
    scores = similarity(encode_sentence(sentence), frames, mask)
    starts, ends, paths = parts['start'], parts['end'], parts['path']
    for place in np.argsort(-scores, kind='stable')[:topk]:
        print(f'{scores[place]:.4f}  {starts[place]:.1f} to {ends[place]:.1f} s  {paths[place]}')


if __name__ == '__main__':
    if len(sys.argv) != 3 or not sys.argv[2].strip():
        sys.exit(f'error: expected an index and a sentence\n{__doc__}')
    main(*sys.argv[1:3])
