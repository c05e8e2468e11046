"""Write the results table of README.md from configs/metafile.yml."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
| config | architecture | test set | R@1 | R@5 | R@10 | R@1, inverted softmax | source |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
METRICS = ('Recall@1', 'Recall@5', 'Recall@10', 'Recall@1 (inverted softmax)')


def make_table() -> str:
    """Format the results of the model index, one row for each model and test set."""
    models = yaml.safe_load((ROOT / 'configs/metafile.yml').read_text(encoding='utf-8'))['Models']
    rows = []
    for model in models:
        for result in model.get('Results', []):
            source = re.sub(r'the paper, (\S+);', r'[paper](\1),', model['Results Source'])
            rows.append(
                [f'[{model["Name"]}]({model["Config"]})', model['Metadata']['Architecture']]
                + [result['Dataset'], *(str(result['Metrics'].get(key, '-')) for key in METRICS)]
                + [source]
            )
    return HEADER + ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def main() -> None:
    """Replace the table in README.md."""
    readme = ROOT / 'README.md'
    text = readme.read_text(encoding='utf-8')
    start = text.index(HEADER.partition('\n')[0])
    end = text.index('\n\n', start) + 1
    readme.write_text(text[:start] + make_table() + text[end:], encoding='utf-8')


if __name__ == '__main__':
    main()
