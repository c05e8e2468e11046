"""What the readers of all data sets return: splits of videos with cleaned captions."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .sources import expect

__all__ = ['Annotations', 'CaptionTable', 'Clip', 'Published', 'Split', 'make_split']

NAMED_PLACES = 5


@dataclass(frozen=True)
class Clip:
    """A video with its captions.

    Args:
        video_id: Its name in the official files.
        captions: Sentences or paragraphs, at least one.
        start: Where it begins, seconds; None for the start of the file.
        end: Where it ends, seconds; None for the end of the file.
    """

    video_id: str
    captions: list[str]
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Published:
    """Numbers of videos and captions that a paper or page states; None if it does not."""

    videos: int | None
    captions: int | None
    source: str


@dataclass(frozen=True)
class Split:
    """Videos of one annotation file.

    Args:
        name: Name of that file without extension.
        clips: Annotated videos, in the order of the official list.
        listed_in: The official list.
        unannotated: Ids that are listed but have no caption.
        published: Counts to compare with.
        num_repeated: Lines of the list that repeat an id; they add nothing.
    """

    name: str
    clips: list[Clip]
    listed_in: str
    unannotated: list[str] = field(default_factory=list)
    published: Published | None = None
    num_repeated: int = 0

    @property
    def num_captions(self) -> int:
        """Number of captions."""
        return sum(len(clip.captions) for clip in self.clips)

    @property
    def ids(self) -> set[str]:
        """Ids of its videos."""
        return {clip.video_id for clip in self.clips}


@dataclass(frozen=True)
class Annotations:
    """The content of the official files of a data set.

    Args:
        data_set: Its name.
        splits: One for each annotation file to write.
        disjoint: Pairs of names of splits that must not share a video.
        sources: The files that were read.
        notes: What the user should know.
        file_names: Names that the file of a video id may have, with or without extension.
        other_names: Names of videos that the official files describe but no split lists; their
            files must not be taken for those of a listed video.
    """

    data_set: str
    splits: Sequence[Split]
    disjoint: Sequence[tuple[str, str]]
    sources: Sequence[Path]
    notes: Sequence[str] = ()
    file_names: Callable[[str], tuple[str, ...]] = lambda video_id: (video_id,)
    other_names: frozenset[str] = frozenset()

    def check(self) -> None:
        """Raise a ValueError if a video is in two splits that must not share one."""
        splits = {split.name: split for split in self.splits}
        for pair in self.disjoint:
            first, second = (splits.get(name) for name in pair)
            if first and second and (shared := first.ids & second.ids):
                raise ValueError(
                    f'{len(shared)} videos are in both {first.listed_in} and {second.listed_in}, '
                    f'the first: {", ".join(sorted(shared)[:NAMED_PLACES])}'
                )


class CaptionTable:
    """Captions by video id, in the order in which they were added.

    Cleaning turns any run of white space into one blank, as CLIP's tokenizer does, so it changes
    no token.

    Args:
        drop_empty: Drop captions that are empty after cleaning, instead of an error.
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

    def add(self, where: str, video_id: Any, caption: Any) -> None:
        """Add a caption.

        Args:
            where: Its place, for messages.
            video_id: Id of its video.
            caption: Its text.

        Raises:
            ValueError: If id or caption is no string, or the id is empty.
        """
        expect(isinstance(video_id, str) and video_id.strip(), where, 'a video id', video_id)
        expect(isinstance(caption, str), where, 'a caption', caption)
        captions = self._captions.setdefault(video_id.strip(), [])
        if cleaned := ' '.join(caption.split()):
            captions.append(cleaned)
        else:
            self.empty.append(f'{where} ({video_id})')

    def add_all(self, where: str, video_id: Any, captions: Any) -> None:
        """Add each caption of a list."""
        expect(isinstance(captions, list), where, 'a list of captions', captions)
        for number, caption in enumerate(captions):
            self.add(f'{where}, caption {number}', video_id, caption)

    def add_joined(self, where: str, video_id: Any, sentences: Any) -> None:
        """Add a list of sentences as one caption, a paragraph; empty sentences are reported."""
        expect(isinstance(sentences, list), where, 'a list of sentences', sentences)
        for number, sentence in enumerate(sentences):
            expect(isinstance(sentence, str), where, 'sentences', sentence)
            if not sentence.strip():
                self.empty.append(f'{where}, sentence {number + 1} ({video_id})')
        # if all are empty, they have been reported one by one
        if any(sentence.strip() for sentence in sentences) or not sentences:
            self.add(where, video_id, ' '.join(sentences))

    def check(self) -> list[str]:
        """Report captions that are empty after cleaning.

        Returns:
            A note for the user, if any were dropped.

        Raises:
            ValueError: If there are some and ``drop_empty`` is false.
        """
        if not self.empty:
            return []
        places = ', '.join(self.empty[:NAMED_PLACES])
        report = f'{len(self.empty)} captions are empty, the first: {places}'
        if not self.drop_empty:
            raise ValueError(f'{report}; fix them, or drop them with --drop-empty-captions')
        return [f'dropped: {report}']


def make_split(
    name: str,
    listed_in: Path,
    ids: Iterable[str],
    captions: CaptionTable,
    *,
    published: Published | None = None,
    times: Callable[[str], tuple[float | None, float | None]] = lambda video_id: (None, None),
) -> Split:
    """Take the listed videos that have captions, each once, and note those that have none.

    Args:
        name: Name of the split.
        listed_in: The official list.
        ids: Video ids as the list has them.
        captions: Captions of the videos.
        published: Counts to compare with.
        times: Returns where a video starts and ends, seconds.

    Raises:
        ValueError: If nothing is listed or no listed video has captions.
    """
    lines = list(ids)
    listed = list(dict.fromkeys(lines))
    annotated = [video_id for video_id in listed if video_id in captions]
    if not listed:
        raise ValueError(f'{listed_in} lists no videos')
    if not annotated:
        raise ValueError(
            f'none of the {len(listed)} videos of {listed_in} is annotated, the first is '
            f'{listed[0]!r}; do the files belong together?'
        )
    clips = [Clip(one, captions[one], *times(one)) for one in annotated]
    unannotated = [video_id for video_id in listed if video_id not in captions]
    num_repeated = len(lines) - len(listed)
    return Split(name, clips, listed_in.name, unannotated, published, num_repeated)
