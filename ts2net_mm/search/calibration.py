"""What a query bank says about the videos of an index, and the file that keeps it.

Querybank normalisation (QB-Norm, Bogolin et al., CVPR 2022) subtracts from the score of a video
what it scores with the sentences of a bank. Here this is one number for each video.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.files import replacing
from .description import Description
from .view import View

__all__ = [
    'CALIBRATION',
    'CORRECTION',
    'Calibration',
    'Corrections',
    'Threshold',
    'Validation',
    'read_calibration',
    'write_calibration',
]

FORMAT = 'ts2net_mm calibration 1'
CALIBRATION = 'calibration'  # the file in the folder of the index
CRC_BYTES = 4
# a version of a video is known by the hash of its path and the time when it was added
CORRECTION = np.dtype(
    [('key', '<u8', 2), ('time_ns', '<i8'), ('attraction', '<f8'), ('is_hub', 'u1')]
)


@dataclass(frozen=True)
class Threshold:
    """A number below which a video does not fit, and what it does on validation sentences.

    Args:
        value: The number; a video that reaches it fits.
        kept: Share of the sentences whose right video reaches it.
        rejected: Share of the sentences for which no other video reaches it.
    """

    value: float
    kept: float
    rejected: float


@dataclass(frozen=True)
class Validation:
    """What validation sentences say about a calibration.

    Args:
        source: The name of their file.
        num_queries: Number of sentences.
        num_videos: Number of videos that they describe.
        recall: Percent of the sentences whose best video is right, by the plain scores, with the
            dynamic rule, and calibrated always: 'plain', 'dynamic', 'always'.
        plain: The threshold on scores.
        calibrated: The threshold on calibrated scores.
    """

    source: str
    num_queries: int
    num_videos: int
    recall: dict[str, float]
    plain: Threshold
    calibrated: Threshold

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Validation:
        """Build it from what ``asdict`` made."""
        thresholds = {name: Threshold(**content[name]) for name in ('plain', 'calibrated')}
        return cls(**content | thresholds)


@dataclass(frozen=True, eq=False)
class Corrections:
    """What a calibration does to the videos of a view, by their number in it.

    Args:
        attractions: What is subtracted from the scores of a video, (V,).
        changes: Whether a query is changed whose best video it is, (V,) bool.
    """

    attractions: np.ndarray
    changes: np.ndarray


@dataclass(frozen=True, eq=False)
class Calibration:
    """The numbers of a query bank, for the videos that an index had.

    Args:
        fingerprint: Hash of the model and pipeline of the index.
        inverse_temperature: Factor on the scores inside the exponential.
        topk: How many best videos of a sentence of the bank are hub candidates.
        dynamic: Whether only queries whose best video is a hub candidate are changed.
        source: The name of the bank's file.
        bank: Features of the sentences, of length 1, (Q, D) float32.
        hub_scores: Score with which a video is among the ``topk`` best of each sentence, (Q,).
        videos: (V,) of ``CORRECTION``.
        validation: What validation sentences say; None if there were none.
    """

    fingerprint: str
    inverse_temperature: float
    topk: int
    dynamic: bool
    source: str
    bank: np.ndarray
    hub_scores: np.ndarray
    videos: np.ndarray
    validation: Validation | None = None

    @cached_property
    def bank_digest(self) -> str:
        """SHA-256 of the features of the bank."""
        return hashlib.sha256(self.bank.astype('<f4').tobytes()).hexdigest()

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.videos['key'][:, 0], kind='stable')

    def rows_of(self, records: np.ndarray) -> np.ndarray:
        """Find the rows of ``videos`` for records of videos: (V,) of ``VIDEO`` -> (V,).

        -1 stands for a version of a video that the calibration does not know.
        """
        if not len(self.videos):
            return np.full(len(records), -1)
        keys = self.videos['key'][self._order, 0]
        places = np.searchsorted(keys, records['key'][:, 0]).clip(max=len(keys) - 1)
        rows = self._order[places]
        is_same = (self.videos['key'][rows] == records['key']).all(axis=1)
        is_same &= self.videos['time_ns'][rows] == records['time_ns']
        return np.where(is_same, rows, -1)

    def new_videos(self, view: View) -> np.ndarray:
        """Return the numbers of the videos that may be found and that the calibration lacks."""
        return np.flatnonzero(view.is_encoded & (self.rows_of(view.videos) < 0))

    def corrections(self, view: View) -> Corrections:
        """Return the numbers of the videos of a view; 0 for those that the calibration lacks."""
        rows = self.rows_of(view.videos)
        known = rows >= 0
        attractions, changes = np.zeros(len(rows)), np.full(len(rows), not self.dynamic)
        attractions[known] = self.videos['attraction'][rows[known]]
        changes[known] |= self.videos['is_hub'][rows[known]] > 0
        return Corrections(attractions, changes)

    def threshold(self, *, calibrated: bool) -> float:
        """Return the number that a video has to reach to fit, on scores or calibrated scores.

        Raises:
            ValueError: If it was not chosen on a validation set.
        """
        if self.validation is None:
            raise ValueError('the calibration has no threshold: calibrate with --validation')
        return (self.validation.calibrated if calibrated else self.validation.plain).value

    def to_bytes(self) -> bytes:
        """Write it, with a checksum of all of it at the end."""
        header = dict(
            format=FORMAT,
            fingerprint=self.fingerprint,
            inverse_temperature=self.inverse_temperature,
            topk=self.topk,
            dynamic=self.dynamic,
            source=self.source,
            bank_shape=self.bank.shape,
            bank_digest=self.bank_digest,
            num_videos=len(self.videos),
            validation=asdict(self.validation) if self.validation else None,
        )
        tables = [self.bank.astype('<f4'), self.hub_scores.astype('<f8'), self.videos]
        content = json.dumps(header).encode() + b'\n'
        content += b''.join(table.tobytes() for table in tables)
        return content + zlib.crc32(content).to_bytes(CRC_BYTES, 'little')

    @classmethod
    def from_bytes(cls, content: bytes) -> Calibration:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: If it is damaged, or of another format.
        """
        body, crc = content[:-CRC_BYTES], content[-CRC_BYTES:]
        if zlib.crc32(body).to_bytes(CRC_BYTES, 'little') != crc:
            raise ValueError('its checksum is wrong')
        line, _, rest = body.partition(b'\n')
        header = json.loads(line)
        if (found := header.pop('format')) != FORMAT:
            raise ValueError(f'its format is {found!r}, expected {FORMAT!r}')
        num_queries, dims = header.pop('bank_shape')
        del header['bank_digest']
        validation = header.pop('validation')
        end = 4 * num_queries * dims
        return cls(
            bank=np.frombuffer(rest, '<f4', num_queries * dims).reshape(num_queries, dims),
            hub_scores=np.frombuffer(rest, '<f8', num_queries, offset=end),
            videos=np.frombuffer(
                rest, CORRECTION, header.pop('num_videos'), offset=end + 8 * num_queries
            ),
            validation=validation and Validation.from_dict(validation),
            **header,
        )


def write_calibration(folder: str | Path, calibration: Calibration) -> None:
    """Store a calibration in an index; another that is there is replaced.

    Raises:
        OSError: If it cannot be written.
    """
    with replacing(Path(folder).expanduser() / CALIBRATION) as temporary:
        temporary.write_bytes(calibration.to_bytes())


def read_calibration(folder: str | Path, description: Description) -> Calibration:
    """Read the calibration of an index.

    Args:
        folder: The folder of the index.
        description: That of the index.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged, or belongs to another model.
    """
    path = Path(folder).expanduser() / CALIBRATION
    again = f'python tools/index.py {folder} calibrate --queries FILE'
    try:
        calibration = Calibration.from_bytes(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f'{folder} has no calibration; {again} makes one') from None
    except ValueError as error:
        raise ValueError(f'{path} is damaged ({error}); {again} makes it again') from error
    if calibration.fingerprint != description.fingerprint:
        raise ValueError(f'{path} was made for another model; {again} makes it again')
    return calibration
