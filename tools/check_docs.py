"""Check that the documentation names only files, anchors and configs that exist."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

_SKIPPED_FOLDERS = {'build', 'data', 'dist', 'work_dirs'}
_FENCE = re.compile(r'^\s*(```+|~~~+)')
_INLINE_CODE = re.compile(r'(`+).+?\1')
_HEADING = re.compile(r'^#{1,6}\s+(.+?)\s*#*$')
_ANCHOR = re.compile(r'<a\s[^>]*(?:id|name)="([^"]+)"')
_LINKS = (
    re.compile(r'\]\(\s*<([^>]+)>'),
    re.compile(r'\]\(\s*([^)<>\s]+)'),
    re.compile(r'^\s*\[[^\]]+\]:\s*<?([^\s>]+)'),
    re.compile(r'<(?:a|img)\s[^>]*(?:href|src)="([^"]+)"'),
)
_SCHEME = re.compile(r'^[a-z][a-z0-9+.-]*:', re.IGNORECASE)
# A file of this repository named in prose or in a command; <placeholders> and patterns are not.
_NAMED_FILE = re.compile(
    r'(?<![\w./:<>*$-])((?:configs|docs|requirements|tests|tools)/[\w./+-]*\w\.(?:json|md|py|sh|txt))'
    r'(?![\w*<{])'
)
_COMMAND = re.compile(r'(?:^|[\s;&|(])(?:python3?|bash|sh|torchrun)\s+([\w./+-]+\.(?:py|sh))(?!\S)')


class Line(NamedTuple):
    """A line of a Markdown file.

    Args:
        number: Counted from 1.
        text: Without the line break.
        fenced: Whether it stands inside a fenced block of code.
    """

    number: int
    text: str
    fenced: bool


@cache
def read_lines(path: Path) -> tuple[Line, ...]:
    """Split a file into lines, fences themselves left out."""
    lines = []
    fence = ''
    for number, text in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1):
        match = _FENCE.match(text)
        if match and not fence:
            fence = match.group(1)
        elif match and text.strip().startswith(fence):
            fence = ''
        else:
            lines.append(Line(number, text, bool(fence)))
    return tuple(lines)


@cache
def find_anchors(path: Path) -> frozenset[str]:
    """List what a link into a Markdown file may name, as GitHub derives it from the headings."""
    anchors = set()
    seen: Counter[str] = Counter()
    for line in read_lines(path):
        if line.fenced:
            continue
        anchors.update(_ANCHOR.findall(line.text))
        if heading := _HEADING.match(line.text):
            slug = _slug(heading.group(1))
            anchors.add(f'{slug}-{seen[slug]}' if seen[slug] else slug)
            seen[slug] += 1
    return frozenset(anchors)


def _slug(heading: str) -> str:
    text = re.sub(r'!?\[([^\]]*)\]\([^)]*\)', r'\1', heading).replace('`', '')
    return re.sub(r'[^\w\- ]', '', text.lower()).replace(' ', '-')


def find_documents(root: Path) -> list[Path]:
    """List the Markdown files of the repository."""
    return [
        path
        for path in sorted(root.rglob('*.md'))
        if not any(
            part.startswith('.') or part.endswith('.egg-info') or part == '__pycache__'
            for part in path.relative_to(root).parts
        )
        and path.relative_to(root).parts[0] not in _SKIPPED_FOLDERS
    ]


def check_document(path: Path, root: Path) -> Iterator[str]:
    """Give one message for each thing that a document names wrongly."""
    where = path.relative_to(root)
    for line in read_lines(path):
        problems = list(_check_named_files(line, root))
        if not line.fenced:
            problems += _check_links(line, path, root)
        yield from (f'{where}:{line.number}: {problem}' for problem in problems)


def _check_links(line: Line, path: Path, root: Path) -> Iterator[str]:
    text = _INLINE_CODE.sub('', line.text)
    for link in dict.fromkeys(link for pattern in _LINKS for link in pattern.findall(text)):
        if _SCHEME.match(link) or link.startswith('//'):
            continue
        name, _, anchor = unquote(link).partition('#')
        target = (path.parent / name).resolve() if name else path
        if not target.is_relative_to(root):
            yield f'link {link} leaves the repository'
        elif not target.exists():
            yield f'link {link} names no file'
        elif anchor and target.suffix == '.md' and anchor not in find_anchors(target):
            yield f'link {link} names no heading of {target.relative_to(root)}'


def _check_named_files(line: Line, root: Path) -> Iterator[str]:
    if line.fenced:
        names = _NAMED_FILE.findall(line.text) + _COMMAND.findall(line.text)
    else:
        # The targets of links are relative to the document, and checked as such.
        names = _NAMED_FILE.findall(re.sub(r'\]\([^)]*\)', ']', line.text))
    for name in dict.fromkeys(names):
        if not (root / name).is_file():
            yield f'{name} does not exist'


def main(argv: list[str] | None = None) -> int:
    """Check the documents and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'root',
        nargs='?',
        type=Path,
        default=Path(__file__).parents[1],
        help='folder of the repository (default: the one this file is in)',
    )
    root = parser.parse_args(argv).root.resolve()
    documents = find_documents(root)
    if not documents:
        print(f'error: {root} holds no Markdown file', file=sys.stderr)
        return 1
    problems = [problem for path in documents for problem in check_document(path, root)]
    print('\n'.join([*problems, f'{len(documents)} documents, {len(problems)} problems']))
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
