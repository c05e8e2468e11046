"""The files and tests that docs, comments and messages name exist; mkdocs checks the links."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATTERNS = (
    '*.md',
    '.github/**/*',
    'docs/**/*.md',
    'configs/**/*.py',
    'tools/**/*',
    'ts2net_mm/**/*.py',
)
NAMED_FILE = re.compile(
    r'(?<![\w./:<>*$%{-])(?:configs|docs|requirements|tests|tools)/[\w./+-]*\w\.(?:md|py|sh|txt|yml)'
    r'(?![\w*<{])'
)
NAMED_TEST = re.compile(r'`(test_\w+)`')


def texts(*patterns: str) -> dict[Path, str]:
    paths = {path for pattern in patterns for path in ROOT.glob(pattern)}
    return {
        path: path.read_text(encoding='utf-8')
        for path in sorted(paths)
        if path.is_file() and path.suffix != '.pyc'
    }


def test_named_files_exist():
    missing = {
        f'{path.relative_to(ROOT)}: {name}'
        for path, text in texts(*PATTERNS).items()
        for name in NAMED_FILE.findall(re.sub(r'\]\([^)]*\)', ']', text))  # mkdocs checks links
        if not (ROOT / name).is_file()
    }
    assert not missing


def test_named_tests_exist():
    defined = set(re.findall(r'def (test_\w+)', '\n'.join(texts('tests/**/*.py').values())))
    missing = {
        f'{path.relative_to(ROOT)}: {name}'
        for path, text in texts('*.md', 'docs/**/*.md').items()
        for name in set(NAMED_TEST.findall(text)) - defined
    }
    assert not missing
