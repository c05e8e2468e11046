import os
import pickle
import re

import numpy as np
import pytest

from ts2net_mm.preparation.sources import (
    check_folder,
    load_plain_pickle,
    read_id_list,
    read_json,
    read_lines,
    read_table,
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

    for number in range(13):
        (tmp_path / f'{number:02}').touch()
    with pytest.raises(FileNotFoundError, match=r'found: 00, .*, 09 and 5 more$'):
        check_folder(tmp_path, ['b.txt'])
    with pytest.raises(FileNotFoundError, match='annotation folder .*nowhere does not exist'):
        check_folder(tmp_path / 'nowhere', ['a'])
    with pytest.raises(NotADirectoryError, match='00 is a file, expected a folder of annot'):
        check_folder(tmp_path / '00', ['a'])


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


def test_columns(write):
    path = write('\ufeffkey,video_id,sentence\r\n1,v1,"a, b"\r\n\r\n2,v2,say ""hi""\r\n')
    assert list(read_table(path, ['sentence', 'video_id'])) == [
        (f'{path}:2', dict(key='1', video_id='v1', sentence='a, b')),
        (f'{path}:4', dict(key='2', video_id='v2', sentence='say ""hi""')),
    ]


@pytest.mark.parametrize('delimiter', [';', '\t'])
def test_other_delimiters(write, delimiter):
    path = write('id;video_id;sentence\n1;v1;"a; b, c"\n'.replace(';', delimiter))
    ((_, row),) = read_table(path, ['video_id', 'sentence'])
    assert row == dict(id='1', video_id='v1', sentence=f'a{delimiter} b, c')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a,b\n1,2\n', r"file:1: no column 'id', found the columns 'a, b'"),
        ('id,b\n1,2\n1,2,3\n', r"file:3: expected 2 columns, found \['1', '2', '3'\]"),
        ('id,b,b\n1,2,3\n', r"file:1: several columns are named 'b'"),
        ('id,b\n1,"2\n', r'file:2: unexpected end of data'),
    ],
)
def test_bad_columns(write, text, message):
    with pytest.raises(ValueError, match=message):
        list(read_table(write(text), ['id']))


def test_json(write):
    assert read_json(write('\ufeff{"a": [1]}'), dict) == {'a': [1]}
    assert read_json(write('[{"a": 1}, {"a": 2}]'), list) == [{'a': 1}, {'a': 2}]


@pytest.mark.parametrize(
    ('text', 'kind', 'message'),
    [
        ('{"a": 1,\n}', dict, r'file:2: not valid JSON: '),
        ('[1]', dict, r'file holds a list, expected an object'),
        ('{"a": 1}', list, r'file holds a dict, expected a list'),
        ('{}', dict, r'file is empty'),
        ('[{"a": 1, "b": 2, "a": 3}]', list, r"file names 'a' more than once"),
    ],
)
def test_bad_json(write, text, kind, message):
    with pytest.raises(ValueError, match=message):
        read_json(write(text), kind)


# {'a_1': [['caf\xc3\xa9', 'x']]} of Python 2, where text is bytes: protocols 0 and 2
PYTHON_2 = [
    b"(dp0\nS'a_1'\np1\n(lp2\n(lp3\nS'caf\\xc3\\xa9'\np4\naS'x'\np5\naas.",
    b'\x80\x02}q\x00U\x03a_1q\x01]q\x02]q\x03(U\x05caf\xc3\xa9q\x04U\x01xq\x05eas.',
]


@pytest.mark.parametrize('content', PYTHON_2)
def test_pickles_of_python_2(write, content):
    assert load_plain_pickle(write(content)) == {'a_1': [['café', 'x']]}


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_python_3(write, protocol):
    content = {'a_1': [['café', 'x'], ('y', 3)]}
    assert load_plain_pickle(write(pickle.dumps(content, protocol))) == {
        'a_1': [['café', 'x'], ['y', 3]]
    }


def test_bytes_of_no_encoding_are_latin_1(write):
    assert load_plain_pickle(write(pickle.dumps([b'caf\xe9'], 3))) == ['café']


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_code_is_run(write, tmp_path, protocol):
    made = tmp_path / 'made'
    content = pickle.dumps({'a': Attack(made)}, protocol)
    with pytest.raises(ValueError, match=r'file refers to \w+\.mkdir; only lists, dicts and'):
        load_plain_pickle(write(content))
    assert not made.exists()
    pickle.loads(content)  # it is an attack
    assert made.exists()


@pytest.mark.parametrize('content', [np.zeros(2), {'a': np.float32(1)}, {'a': Attack}])
def test_other_objects_are_refused(write, content):
    with pytest.raises(ValueError, match=r'file refers to (numpy|.*Attack)'):
        load_plain_pickle(write(pickle.dumps(content)))


@pytest.mark.parametrize(
    'content', [b'', b'no pickle', PYTHON_2[1][:-5], b'\x80\x02\x82\x01.', b'.']
)
def test_damaged_files(write, content):
    with pytest.raises(ValueError, match=r'file is not a readable pickle: \w+'):
        load_plain_pickle(write(content))
