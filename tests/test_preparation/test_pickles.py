import os
import pickle

import numpy as np
import pytest

from ts2net_mm.preparation.pickles import load_plain_pickle

# {'a_1': [['caf\xc3\xa9', 'x']]} of Python 2, where text is bytes: protocols 0 and 2
PYTHON_2 = [
    b"(dp0\nS'a_1'\np1\n(lp2\n(lp3\nS'caf\\xc3\\xa9'\np4\naS'x'\np5\naas.",
    b'\x80\x02}q\x00U\x03a_1q\x01]q\x02]q\x03(U\x05caf\xc3\xa9q\x04U\x01xq\x05eas.',
]


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / 'file.pkl'
        path.write_bytes(content)
        return path

    return write


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
    with pytest.raises(ValueError, match=r'file\.pkl refers to \w+\.mkdir; only lists, dicts and'):
        load_plain_pickle(write(content))
    assert not made.exists()
    pickle.loads(content)  # it is an attack
    assert made.exists()


@pytest.mark.parametrize('content', [np.zeros(2), {'a': np.float32(1)}, {'a': Attack}])
def test_other_objects_are_refused(write, content):
    with pytest.raises(ValueError, match=r'file\.pkl refers to (numpy|.*Attack)'):
        load_plain_pickle(write(pickle.dumps(content)))


@pytest.mark.parametrize(
    'content', [b'', b'no pickle', PYTHON_2[1][:-5], b'\x80\x02\x82\x01.', b'.']
)
def test_damaged_files(write, content):
    with pytest.raises(ValueError, match=r'file\.pkl is no pickle that can be read: \w+'):
        load_plain_pickle(write(content))
