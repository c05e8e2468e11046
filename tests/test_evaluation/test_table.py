"""The table for people."""

from ts2net_mm.evaluation import format_table

PLAIN = {
    't2v/R1': 47.04,
    't2v/R5': 70.0,
    't2v/R10': 100.0,
    't2v/MdR': 1.5,
    't2v/MnR': 12.96,
    'v2t/R1': 5.0,
    'v2t/R5': 60.0,
    'v2t/R10': 71.0,
    'v2t/MdR': 2.0,
    'v2t/MnR': 9.0,
}


def cells(line: str) -> list[str]:
    """Split a line at its bars."""
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_rows_and_columns():
    lines = format_table(PLAIN).splitlines()
    assert cells(lines[0]) == ['', 'R@1', 'R@5', 'R@10', 'MdR', 'MnR']
    assert cells(lines[2]) == ['text to video', '47.0', '70.0', '100.0', '1.5', '13.0']
    assert cells(lines[3]) == ['video to text', '5.0', '60.0', '71.0', '2.0', '9.0']
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1


def test_inverted_softmax_rows_follow_whatever_the_order_of_keys():
    metrics = {'v2t_dsl/R1': 4.0, 't2v_dsl/R1': 3.0, 'v2t/R1': 2.0, 't2v/R1': 1.0}
    lines = format_table(metrics).splitlines()
    assert [cells(line)[1] for line in lines[2:]] == ['1.0', '2.0', '3.0', '4.0']
    assert cells(lines[4])[0] == 'text to video, inverted softmax'


def test_query_bank_row_stands_last():
    lines = format_table({'t2v_qb/R1': 3.0, 'v2t_dsl/R1': 2.0, 't2v/R1': 1.0}).splitlines()
    assert cells(lines[4]) == ['text to video, query bank', '3.0']


def test_hard_negatives_are_lines_below():
    lines = format_table({'t2v/reversal_acc': 93.26, 't2v/R1': 50.0}).splitlines()
    assert cells(lines[0]) == ['', 'R@1']
    assert lines[-1] == 'reversal: the right video scores higher for 93.3 % of the texts'


def test_prefixes_are_named():
    metrics = {'msrvtt/t2v/R1': 1.0, 'didemo/t2v/R1': 2.0, 'didemo/t2v/R5': 3.0}
    metrics['didemo/t2v/reversal_acc'] = 4.0
    lines = format_table(metrics).splitlines()
    assert cells(lines[2]) == ['didemo: text to video', '2.0', '3.0']
    assert cells(lines[3]) == ['msrvtt: text to video', '1.0', '-']
    assert lines[4].startswith('didemo: reversal: ')


def test_other_metrics_are_left_out():
    assert (
        format_table({'acc/top1': 1.0, 'data_time': 0.1, 't2v/R7': 1.0, 'retrieval/R1': 3.0}) == ''
    )
    assert 'top1' not in format_table({'acc/top1': 1.0, **PLAIN})


def test_plain_text_whatever_the_environment(monkeypatch):
    monkeypatch.setenv('FORCE_COLOR', '1')
    monkeypatch.setenv('COLUMNS', '20')
    assert '\x1b' not in format_table(PLAIN)
    assert '12.9' not in format_table(PLAIN) and '13.0' in format_table(PLAIN)
