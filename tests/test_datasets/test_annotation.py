import pytest

from ts2net_mm.datasets.annotation import VideoAnnotation, load_annotations


def test_both_forms(write_annotation):
    path = write_annotation(
        {
            'a.mp4': ['a cat', 'a small cat'],
            'b.mp4': {'captions': ['a dog'], 'start': 2, 'end': 7.5},
            'c.mp4': {'captions': ['a café'], 'start': None, 'end': None},
            'd.mp4': {'captions': ['x'], 'start': 0, 'n': [1], 'place': {'box': [{'x': 1}, 2]}},
        }
    )
    assert load_annotations(path) == [
        VideoAnnotation('a.mp4', ['a cat', 'a small cat'], {}),
        VideoAnnotation('b.mp4', ['a dog'], {'start': 2, 'end': 7.5}),
        VideoAnnotation('c.mp4', ['a café'], {'start': None, 'end': None}),
        VideoAnnotation('d.mp4', ['x'], {'start': 0, 'n': [1], 'place': {'box': [{'x': 1}, 2]}}),
    ]


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'annotation file .*none\.json does not exist'):
        load_annotations(tmp_path / 'none.json')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', r'annotation\.json is not valid JSON: Expecting value'),
        ('{"a": ' + '9' * 5000 + '}', r'annotation\.json is not valid JSON'),
        ('{"a.mp4": ' * 50_000, r'annotation\.json is not valid JSON'),
        ('\ufeff{}', r'annotation\.json is not valid JSON'),
        ('{"a.mp4": ["x",]}', r'annotation\.json is not valid JSON: .*line 1 column'),
        ('[["a.mp4", "x"]]', r'annotation\.json holds a list, expected an object'),
        ('{}', r'annotation\.json names no videos'),
        (
            '{"a": ["x"], "b": ["x"], "b": ["y"], "c": ["x"], "c": ["x"]}',
            r"annotation\.json names 2 videos more than once, the first is 'b'",
        ),
        (
            '{"a": {"captions": ["x"], "place": [{"x": 1, "x": 2}]}}',
            r"annotation\.json: 'a' holds 'x' more than once",
        ),
    ],
)
def test_text_that_is_not_an_annotation(write_annotation, text, message):
    with pytest.raises(ValueError, match=message):
        load_annotations(write_annotation(text))


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ([], r"'bad\.mp4' has no captions: expected a list of sentences, found \[\]"),
        ('a cat', r"'bad\.mp4' has no captions: expected a list of sentences, found 'a cat'"),
        ({'caption': ['x']}, r"'bad\.mp4' has no captions: .* found None"),
        ({'captions': []}, r"'bad\.mp4' has no captions: .* found \[\]"),
        (['x', ''], r"'bad\.mp4': caption 1 is empty"),
        (['x', ' \t\n'], r"'bad\.mp4': caption 1 is empty"),
        (['x', 7], r"'bad\.mp4': caption 1 is 7, expected a string"),
        ([['x']], r"'bad\.mp4': caption 0 is \['x'\], expected a string"),
    ],
)
def test_bad_captions(write_annotation, value, message):
    path = write_annotation({'good.mp4': ['x'], 'bad.mp4': value})
    with pytest.raises(ValueError, match=r'annotation\.json: ' + message):
        load_annotations(path)


@pytest.mark.parametrize(
    ('times', 'message'),
    [
        ({'start': -1}, r'start is -1, expected seconds from 0 on'),
        ({'start': '3'}, r"start is '3', expected seconds"),
        ({'start': True}, r'start is True, expected seconds'),
        ({'start': float('nan')}, r'start is nan, expected seconds'),
        ({'end': float('inf')}, r'end is inf, expected seconds'),
        ({'start': 5, 'end': 5}, r'end 5 is not after start 5'),
        ({'end': 0}, r'end 0 is not after start 0'),
        ({'start': 10**400}, r'start is 10000.*, expected seconds'),
    ],
)
def test_bad_times(write_annotation, times, message):
    path = write_annotation({'bad.mp4': {'captions': ['x'], **times}})
    with pytest.raises(ValueError, match=r"annotation\.json: 'bad\.mp4': " + message):
        load_annotations(path)


@pytest.mark.parametrize('name', ['', 'a\0.mp4', '\ud800.mp4'])
def test_names_that_files_cannot_have(write_annotation, name):
    with pytest.raises(ValueError, match=r'annotation\.json: .* is not a file name'):
        load_annotations(write_annotation({'good.mp4': ['x'], name: ['x']}))


def test_text_that_is_not_unicode(write_annotation, tmp_path):
    path = write_annotation({'a.mp4': ['x', 'y \udfff']})
    with pytest.raises(
        ValueError, match=r"'a\.mp4': caption 1 is 'y \\udfff', which is not Unicode"
    ):
        load_annotations(path)
    (tmp_path / 'binary.json').write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(ValueError, match=r'binary\.json is not valid JSON: .*utf-8'):
        load_annotations(tmp_path / 'binary.json')
