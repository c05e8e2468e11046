"""What the readers of all data sets return."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .captions import CaptionTable

__all__ = ['Annotations', 'Clip', 'Published', 'Split', 'make_split']

NAMED_IDS = 5


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
    """How many videos and captions a split has by a paper or page; None where it does not say."""

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


def _only_itself(video_id: str) -> tuple[str, ...]:
    return (video_id,)


@dataclass(frozen=True)
class Annotations:
    """All that the official files of a data set say.

    Args:
        data_set: Its name.
        splits: One for each annotation file to write.
        disjoint: Pairs of names of splits that must not share a video.
        sources: The files that were read.
        notes: What the user should know.
        file_names: Names that the file of a video id may have, with or without extension.
        other_names: Names of videos that the official files describe but no split lists; their
            files belong to nobody else.
    """

    data_set: str
    splits: Sequence[Split]
    disjoint: Sequence[tuple[str, str]]
    sources: Sequence[Path]
    notes: Sequence[str] = ()
    file_names: Callable[[str], tuple[str, ...]] = _only_itself
    other_names: frozenset[str] = frozenset()

    def check(self) -> None:
        """Raise a ValueError if a video is in two splits that must not share one."""
        splits = {split.name: split for split in self.splits}
        for first, second in self.disjoint:
            if first not in splits or second not in splits:
                continue
            shared = {clip.video_id for clip in splits[first].clips}.intersection(
                clip.video_id for clip in splits[second].clips
            )
            if shared:
                names = ', '.join(sorted(shared)[:NAMED_IDS])
                raise ValueError(
                    f'{len(shared)} videos are in both {splits[first].listed_in} and '
                    f'{splits[second].listed_in}, the first: {names}'
                )


def make_split(
    name: str,
    listed_in: Path,
    ids: Iterable[str],
    captions: CaptionTable,
    *,
    published: Published | None = None,
    start: float | None = None,
    ends: Callable[[str], float | None] = lambda video_id: None,
) -> Split:
    """Take the listed videos that have captions, each once, and note those that have none.

    Raises:
        ValueError: If none has any.
    """
    lines = list(ids)
    listed = list(dict.fromkeys(lines))
    annotated = [video_id for video_id in listed if video_id in captions]
    if not annotated:
        raise ValueError(
            f'none of the {len(listed)} videos of {listed_in} is annotated, the first is '
            f'{listed[0]!r}; do the files belong together?'
        )
    clips = [Clip(one, captions[one], start, ends(one)) for one in annotated]
    unannotated = [video_id for video_id in listed if video_id not in captions]
    num_repeated = len(lines) - len(listed)
    return Split(name, clips, listed_in.name, unannotated, published, num_repeated)
