import re

import pytest

from ts2net_mm.preparation.reading import (
    check_folder,
    read_columns,
    read_id_list,
    read_json,
    read_lines,
)


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / 'file'
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_folder_says_what_was_expected_and_found(tmp_path):
    (tmp_path / 'a.txt').touch()
    (tmp_path / 'sub').mkdir()
    check_folder(tmp_path, ['a.txt'])
    message = f'{tmp_path} lacks b.txt; expected: a.txt, b.txt; found: a.txt, sub/'
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        check_folder(tmp_path, ['a.txt', 'b.txt'])


def test_folder_names_ten_files_at_most(tmp_path):
    for number in range(13):
        (tmp_path / f'{number:02}').touch()
    with pytest.raises(FileNotFoundError, match=r'found: 00, .*, 09 and 3 more$'):
        check_folder(tmp_path, ['b.txt'])


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='found: nothing'):
        check_folder(tmp_path, ['a'])
    with pytest.raises(FileNotFoundError, match='annotation folder .*nowhere does not exist'):
        check_folder(tmp_path / 'nowhere', ['a'])
    (tmp_path / 'file').touch()
    with pytest.raises(NotADirectoryError, match='file is a file, expected a folder of annot'):
        check_folder(tmp_path / 'file', ['a'])


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize('mark', ['', '\ufeff'])
def test_lines_of_any_editor(write, end, mark):
    path = write(mark + end.join(['one', '', 'zwei ü\u2028drei', 'x']))
    assert list(read_lines(path)) == [
        (f'{path}:1', 'one'),
        (f'{path}:3', 'zwei ü\u2028drei'),
        (f'{path}:4', 'x'),
    ]


def test_other_encodings(write):
    with pytest.raises(ValueError, match=r'file:2: not valid UTF-8 \(byte 5\)'):
        list(read_lines(write(b'one\nt\xe9te')))


def test_id_list(write):
    assert read_id_list(write('\ufeffa\r\n b \r\n\r\n-c_1')) == ['a', 'b', '-c_1']
    with pytest.raises(ValueError, match=r"file:2: expected one video id, found 'b 3'"):
        read_id_list(write('a\nb 3\n'))
    with pytest.raises(ValueError, match='file lists no videos'):
        read_id_list(write('\n\n'))


def test_columns(write):
    path = write('\ufeffkey,video_id,sentence\r\n1,v1,"a, b"\r\n\r\n2,v2,say ""hi""\r\n')
    rows = list(read_columns(path, ['sentence', 'video_id']))
    assert rows == [(f'{path}:2', ['a, b', 'v1']), (f'{path}:4', ['say ""hi""', 'v2'])]


@pytest.mark.parametrize('delimiter', [';', '\t'])
def test_other_delimiters(write, delimiter):
    path = write('id;video_id;sentence\n1;v1;"a; b, c"\n'.replace(';', delimiter))
    assert list(read_columns(path, ['video_id', 'sentence'])) == [
        (f'{path}:2', ['v1', f'a{delimiter} b, c'])
    ]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', r"file:1: no column 'id', found the columns ''"),
        ('a,b\n1,2\n', r"file:1: no column 'id', found the columns 'a, b'"),
        ('id,b\n1,2\n1,2,3\n', r"file:3: expected 2 columns, found 3: \['1', '2', '3'\]"),
        ('id,b,b\n1,2,3\n', r"file:1: several columns are named 'b'"),
        ('id,b\n1\n', r"file:2: expected 2 columns, found 1: \['1'\]"),
        ('id,b\n1,"2\n', r'file:2: unexpected end of data'),
    ],
)
def test_bad_columns(write, text, message):
    with pytest.raises(ValueError, match=message):
        list(read_columns(write(text), ['id']))


def test_json(write):
    assert read_json(write('\ufeff{"a": [1]}'), dict) == {'a': [1]}
    assert read_json(write('[{"a": 1}, {"a": 2}]'), list) == [{'a': 1}, {'a': 2}]


@pytest.mark.parametrize(
    ('text', 'kind', 'message'),
    [
        ('{"a": 1,\n}', dict, r'file:2: no valid JSON: '),
        ('[1]', dict, r'file holds a list, expected an object'),
        ('{"a": 1}', list, r'file holds a dict, expected a list'),
        ('{}', dict, r'file is empty'),
        ('[{"a": 1, "b": 2, "a": 3}]', list, r"file names 'a' more than once"),
    ],
)
def test_bad_json(write, text, kind, message):
    with pytest.raises(ValueError, match=message):
        read_json(write(text), kind)
