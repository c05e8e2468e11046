import importlib.util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def check_docs():
    spec = importlib.util.spec_from_file_location('check_docs', REPOSITORY / 'tools/check_docs.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repository(tmp_path):
    for name in ('docs/guide.md', 'tools/train.py', 'tools/run.sh', 'configs/a_b+c.py', 'a b.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'docs/guide.md').write_text(
        '# The *guide*: `x` & [more](http://x.y)\n## Twice\n## Twice\n<a id="here"></a>\n'
    )
    return tmp_path


def check(check_docs, repository, text, capsys):
    check_docs.read_lines.cache_clear()
    check_docs.find_anchors.cache_clear()
    (repository / 'README.md').write_text(text)
    status = check_docs.main([str(repository)])
    *problems, summary = capsys.readouterr().out.splitlines()
    assert summary == f'2 documents, {len(problems)} problems'
    assert status == (1 if problems else 0)
    return problems


@pytest.mark.parametrize(
    'text',
    [
        '[a](docs/guide.md) and ![b](<a b.png>) and [c](a%20b.png)',
        '[a](docs) [b](#title)\n# Title',
        '[a](docs/guide.md#the-guide-x--more) [b](docs/guide.md#twice-1) [c](docs/guide.md#here)',
        '[a](https://no.such/page.md) <img src="a b.png"> [b](mailto:a@b.c)',
        '[a]: docs/guide.md "title"',
        '`[a](no.md)`\n```\n[a](no.md)\n# comment\n```',
        'see configs/a_b+c.py.',
        '```bash\npython tools/train.py configs/a_b+c.py && bash tools/run.sh\n```',
        'a pattern tools/*.py, a place configs/<name>.py, tools/{a,b}.py, other/tools/x.py',
        'https://github.com/x/y/blob/main/tools/x.py',
    ],
)
def test_what_exists_passes(check_docs, repository, text, capsys):
    assert check(check_docs, repository, text, capsys) == []


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('\n[a](docs/no.md)', 'README.md:2: link docs/no.md names no file'),
        ('![a](no.png "title")', 'README.md:1: link no.png names no file'),
        ('[a](<no file.png>)', 'README.md:1: link no file.png names no file'),
        ('[a]: no.md', 'README.md:1: link no.md names no file'),
        ('<img width="3" src="no.png">', 'README.md:1: link no.png names no file'),
        ('[a](../x.md)', 'README.md:1: link ../x.md leaves the repository'),
        ('# A\n[a](#b)', 'README.md:2: link #b names no heading of README.md'),
        ('```\n# b\n```\n[a](#b)', 'README.md:4: link #b names no heading of README.md'),
        (
            '[a](docs/guide.md#twice-2)',
            'README.md:1: link docs/guide.md#twice-2 names no heading of docs/guide.md',
        ),
        ('with `configs/no.py`', 'README.md:1: configs/no.py does not exist'),
        ('```bash\npython tools/no.py x\n```', 'README.md:2: tools/no.py does not exist'),
        ('```bash\nX=1 bash no.sh\n```', 'README.md:2: no.sh does not exist'),
        ('~~~\n$ python demo/no.py\n~~~', 'README.md:2: demo/no.py does not exist'),
    ],
)
def test_what_is_missing_is_named(check_docs, repository, text, problem, capsys):
    assert check(check_docs, repository, text, capsys) == [problem]


def test_folders_of_others_are_left_alone(check_docs, repository, capsys):
    for folder in ('.venv/lib', 'work_dirs', 'data'):
        (repository / folder).mkdir(parents=True)
        (repository / folder / 'README.md').write_text('[a](no.md)')
    assert check(check_docs, repository, 'fine', capsys) == []


def test_a_folder_without_documents_is_an_error(check_docs, tmp_path, capsys):
    assert check_docs.main([str(tmp_path)]) == 1
    assert 'holds no Markdown file' in capsys.readouterr().err
