"""Print how the package is cut: sizes of files and functions, tests beside code, repeated lines."""

import argparse
import ast
import io
import re
import statistics
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

SMALL_FILE = 60  # lines
REPEATED = 8  # lines in a row that should not stand twice


def python_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob('*.py')) if '.mim' not in path.parts]


def functions(path: Path) -> Iterator[int]:
    """Lines of each function, its docstring included."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def code_lines(text: str) -> tuple[int, int]:
    """Numbers of lines that hold code and comments; docstrings are neither."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    blank = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    code: set[int] = set()
    comments: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in blank:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - docstrings), len(comments)


def repeated_blocks(files: Sequence[Path], length: int) -> list[str]:
    """Places of equal runs of lines without blank ones, imports and __all__ aside."""
    seen: dict[tuple[str, ...], str] = {}
    found = []
    for path in files:
        lines = [
            (number, line.strip())
            for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1)
            if line.strip() and not re.match(r"(from|import) |'\\w+',$|[()\[\]]$", line.strip())
        ]
        until = 0
        for start in range(len(lines) - length + 1):
            block = tuple(line for _, line in lines[start : start + length])
            place = f'{path}:{lines[start][0]}'
            if start >= until and block in seen:
                found.append(f'{seen[block]} = {place}')
                until = start + length
            seen.setdefault(block, place)
    return found


def describe(root: Path, package: str) -> list[str]:
    """The figures of a checkout, one a line."""
    every = python_files(root / package)
    modules = [path for path in every if path.name != '__init__.py']
    sizes = [len(path.read_text(encoding='utf-8').splitlines()) for path in modules]
    lengths = sorted(length for path in modules for length in functions(path))
    texts = [path.read_text(encoding='utf-8') for path in every]
    code, comments = (sum(column) for column in zip(*map(code_lines, texts), strict=True))
    raises = sum(len(re.findall(r'^\s+raise\b', text, flags=re.M)) for text in texts)
    lines = sum(len(text.splitlines()) for text in texts)
    tests = python_files(root / 'tests')
    test_lines = sum(len(path.read_text(encoding='utf-8').splitlines()) for path in tests)
    return [
        f'{package}: {len(every)} files, {len(modules)} without __init__; {lines:,} lines',
        f'median file: {statistics.median(sizes):g} lines; under {SMALL_FILE}: '
        f'{sum(size < SMALL_FILE for size in sizes) / len(sizes):.0%}',
        f'functions: median {statistics.median(lengths):g} lines, 90 % within '
        f'{lengths[int(0.9 * len(lengths))]}',
        f'raise per 100 lines of code: {100 * raises / code:.1f}; comments: '
        f'{comments / lines:.1%} of lines',
        f'tests: {len(tests)} files, {test_lines:,} lines, {test_lines / lines:.2f} a line of it',
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('roots', nargs='*', type=Path, default=[Path()], help='checkouts')
    parser.add_argument('--package', default='ts2net_mm', help='default: ts2net_mm')
    parser.add_argument('--repeated', action='store_true', help='list blocks that stand twice')
    args = parser.parse_args(argv)
    for root in args.roots:
        print(f'== {root.resolve().name}')
        print('\n'.join(describe(root, args.package)))
        if args.repeated:
            files = [path for name in (args.package, 'tools') for path in python_files(root / name)]
            blocks = repeated_blocks(files, REPEATED)
            print(f'{len(blocks)} blocks of {REPEATED} lines stand twice', *blocks, sep='\n  ')


if __name__ == '__main__':
    main()
