"""The file of an index that says with what it was made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .records import DamagedIndexError, Layout

__all__ = ['DESCRIPTION', 'Description', 'read_description']

FORMAT = 'ts2net_mm index 1'
DESCRIPTION = 'index.json'


@dataclass(frozen=True)
class Description:
    """What an index was made with.

    Args:
        fingerprint: Hash of the model and pipeline that encoded the videos.
        layout: The shape of its frames.
        score: Settings of the score, see `score_from_settings`; None if the model's similarity has
            no certified bound.
        model: Name of the model, to show.
        window: Seconds of a window; None if videos are not cut.
        stride: Seconds between the starts of two windows.
    """

    fingerprint: str
    layout: Layout
    score: dict[str, Any] | None
    model: str = ''
    window: float | None = None
    stride: float | None = None

    def to_json(self) -> str:
        """Write it as JSON."""
        return json.dumps(dict(format=FORMAT) | asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Description:
        """Read what `to_json` wrote.

        Raises:
            ValueError: If it is of another format.
        """
        try:
            content = json.loads(text)
            if (found := content.pop('format')) != FORMAT:
                raise ValueError(f'its format is {found!r}, expected {FORMAT!r}')
            return cls(**content | dict(layout=Layout(**content['layout'])))
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error

    def require_model(self, fingerprint: str, place: str | Path) -> None:
        """Raise an error if an index at a place was made with another model.

        Raises:
            ValueError: If the fingerprint of the model is another.
        """
        if fingerprint != self.fingerprint:
            raise ValueError(
                f'the index {place} was made with another model or pipeline '
                f'({self.model or "without a name"})'
            )

    def require_same(self, other: Description, place: str) -> None:
        """Raise an error if an index at a place was made with other settings.

        Raises:
            ValueError: If the settings differ; the message says which.
        """
        old, new = asdict(self), asdict(other)
        differing = [key for key in old if old[key] != new[key]]
        if differing and differing != ['model']:  # the same weights may have two names
            details = '; '.join(f'{key} is {old[key]}, now {new[key]}' for key in differing)
            raise ValueError(f'the index {place} was made with other settings: {details}')


def read_description(folder: Path) -> Description:
    """Read the description of an index.

    Raises:
        FileNotFoundError: If there is no index.
        DamagedIndexError: If its description cannot be read.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(f'{folder} is no index: {path} does not exist')
    try:
        return Description.from_json(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise DamagedIndexError(f'{path} is no description of an index: {error}') from error
