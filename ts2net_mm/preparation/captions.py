"""Collect the captions of videos, cleaned."""

from collections.abc import Iterable
from typing import Any

__all__ = ['CaptionTable']

NAMED_PLACES = 5


class CaptionTable:
    """Captions by video id, in the order in which they were added.

    Cleaning turns any run of white space into one blank, as CLIP's tokenizer does, so it changes
    no token.

    Args:
        drop_empty: Leave out captions that are empty after cleaning, instead of an error.
    """

    def __init__(self, *, drop_empty: bool = False) -> None:
        self.drop_empty = drop_empty
        self.empty: list[str] = []
        self._captions: dict[str, list[str]] = {}

    def __contains__(self, video_id: str) -> bool:
        """Whether a video has captions."""
        return bool(self._captions.get(video_id))

    def __getitem__(self, video_id: str) -> list[str]:
        """Captions of a video."""
        return self._captions[video_id]

    def __len__(self) -> int:
        """Number of videos with captions."""
        return sum(map(bool, self._captions.values()))

    def add(self, where: str, video_id: Any, caption: Any) -> None:
        """Add a caption.

        Args:
            where: Its place, for messages.
            video_id: Whose it is.
            caption: What is said.

        Raises:
            ValueError: If id or caption is no string, or the id is empty.
        """
        if not isinstance(video_id, str) or not video_id.strip():
            raise ValueError(f'{where}: expected a video id, found {video_id!r:.80}')
        if not isinstance(caption, str):
            raise ValueError(f'{where}: expected a caption, found {caption!r:.80}')
        captions = self._captions.setdefault(video_id.strip(), [])
        if cleaned := ' '.join(caption.split()):
            captions.append(cleaned)
        else:
            self.empty.append(f'{where} ({video_id})')

    def add_joined(self, where: str, video_id: Any, sentences: Iterable[Any]) -> None:
        """Add sentences as one caption, a paragraph; an empty one counts as an empty caption."""
        sentences = list(sentences)
        for number, sentence in enumerate(sentences):
            if not isinstance(sentence, str):
                raise ValueError(f'{where}: expected sentences, found {sentence!r:.80}')
            if not sentence.strip():
                self.empty.append(f'{where}, sentence {number + 1} ({video_id})')
        if any(sentence.strip() for sentence in sentences) or not sentences:
            self.add(where, video_id, ' '.join(sentences))

    def check(self) -> list[str]:
        """Report captions that are empty after cleaning.

        Returns:
            A note for the user, if any were left out.

        Raises:
            ValueError: If there are some and ``drop_empty`` is false.
        """
        if not self.empty:
            return []
        places = ', '.join(self.empty[:NAMED_PLACES])
        report = f'{len(self.empty)} captions are empty, the first: {places}'
        if not self.drop_empty:
            raise ValueError(f'{report}; mend them, or leave them out with --drop-empty-captions')
        return [f'left out: {report}']
