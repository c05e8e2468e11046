"""Lay the site out as the repository is, so that one link works on GitHub and on the site.

Pages, and the files that pages link to, keep their paths; the API pages have no file of their own.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
FOLDERS = ('configs', 'docs', 'requirements', 'tests', 'tools')
SUFFIXES = {'.jpg', '.md', '.png', '.py', '.sh', '.svg', '.txt', '.yml'}
API_PAGE = '# ts2net_mm.{0}\n\n::: ts2net_mm.{0}\n'
PACKAGES = (
    'models',
    'checkpoints',
    'datasets',
    'evaluation',
    'engine',
    'apis',
    'export',
    'search',
    'preparation',
    'rendered',
    'ablation',
    'visualization',
    'video',
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of docs/ by those of the repository."""
    paths = [*ROOT.glob('*.md'), ROOT / 'CITATION.cff', ROOT / 'LICENSE']
    for folder in FOLDERS:
        paths += [path for path in (ROOT / folder).rglob('*') if path.suffix in SUFFIXES]
    pages = [
        File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
        for path in sorted(paths)
    ]
    pages += [
        File.generated(config, f'api/{name}.md', content=API_PAGE.format(name)) for name in PACKAGES
    ]
    theme = [file for file in files if not (ROOT / 'docs').samefile(file.src_dir or ROOT)]
    return Files(theme + pages)
