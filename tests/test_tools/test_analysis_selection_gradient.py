"""The table of the noise of the selection's gradient."""

import pytest


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis/selection_gradient.py')


@pytest.fixture
def config(project, tmp_path):
    path = tmp_path / 'config.py'
    text = f"_base_ = '{project / 'config.py'}'\ntrain_dataloader = dict(batch_size=2)\n"
    path.write_text(text)
    return path


SETTINGS = ('--sigma', '0.05', '--samples', '10', '--draws', '2', '--batches', '2')


def test_tables_of_random_weights(tool, config, capfd):
    assert tool.main([str(config), *SETTINGS]) == 0
    output, errors = capfd.readouterr()
    assert output.startswith('2 batches of 2, 2 draws each\n')
    assert len(output.splitlines()) == 1 + 2 * (1 + 2 + 3)  # no weights are listed
    rows = [line.split(' | ') for line in output.splitlines() if line.startswith('| ')]
    assert [row[0] for row in rows if '---' not in row[0]] == [
        '| scores',
        *(names := ['| straight-through', '| diagonal', '| full']),
        '| weights',
        *names,
    ]
    straight, diagonal = rows[2], rows[3]
    assert straight[4:6] == ['0', '-']
    assert diagonal[1:3] == ['0.05', '10']
    assert float(diagonal[4]) > 0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ("model = dict(neck=dict(type='CLSOnly', _delete_=True))", 'CLSOnly learns no scores'),
        ('train_dataloader = dict(batch_size=3)', 'expected --batches 2'),
    ],
)
def test_what_does_not_fit_is_an_error(tool, config, capsys, change, message):
    config.write_text(config.read_text() + change + '\n')
    assert tool.main([str(config), *SETTINGS]) == 1
    assert message in capsys.readouterr().err


def test_wrong_paths_and_numbers(tool, config, tmp_path, capsys):
    assert tool.main([str(tmp_path / 'no.py')]) == 1
    assert 'no.py does not exist' in capsys.readouterr().err
    assert tool.main([str(config), str(tmp_path / 'no.pth')]) == 1
    assert 'no.pth does not exist' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.parse_args([str(config), '--draws', '1'])
    assert '--draws: expected at least 2' in capsys.readouterr().err
