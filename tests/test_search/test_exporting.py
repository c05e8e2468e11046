"""Features of an index in the formats of other programs."""

import sys

import numpy as np
import pytest

from ts2net_mm.search.exporting import export_features


@pytest.fixture
def view(store, entries):
    with store.writer() as writer:
        writer.add(entries[:6])
        writer.remove([entries[1].path])
    return store.view()


@pytest.fixture
def expected(entries):
    """Path, start and the features that count, of each window."""
    return [
        (entry.path, start, features[mask], seconds[mask])
        for entry in [entries[0], *entries[2:6]]
        for start, features, mask, seconds in zip(
            entry.windows.starts,
            entry.windows.features,
            entry.windows.frame_mask,
            entry.windows.frame_seconds,
            strict=True,
        )
    ]


def check(columns, expected):
    assert len(columns['path']) == len(expected)
    for row, (path, start, features, seconds) in enumerate(expected):
        count = columns['num_frames'][row]
        assert (columns['path'][row], columns['start'][row]) == (path, start)
        assert columns['end'][row] == start + 12
        np.testing.assert_allclose(columns['features'][row][:count], features, atol=1e-5)
        np.testing.assert_array_equal(columns['frame_seconds'][row][:count], seconds)


@pytest.mark.parametrize('block', [1000, 3])
def test_npz(view, expected, tmp_path, monkeypatch, block):
    monkeypatch.setattr('ts2net_mm.search.exporting.WINDOWS_AT_A_TIME', block)
    assert export_features(view, tmp_path / 'a.npz', fingerprint='f1') == len(expected)
    with np.load(tmp_path / 'a.npz', allow_pickle=False) as arrays:
        check(dict(arrays), expected)
        assert arrays['fingerprint'] == 'f1'


@pytest.mark.parametrize('block', [1000, 3])
def test_parquet(view, expected, tmp_path, monkeypatch, block):
    parquet = pytest.importorskip('pyarrow.parquet')
    monkeypatch.setattr('ts2net_mm.search.exporting.WINDOWS_AT_A_TIME', block)
    assert export_features(view, tmp_path / 'a.parquet', fingerprint='f1') == len(expected)
    table = parquet.read_table(tmp_path / 'a.parquet')
    columns = {name: table[name].to_pylist() for name in table.column_names}
    assert table.schema.metadata[b'fingerprint'] == b'f1'
    shape = (int(table.schema.metadata[b'num_frames']), int(table.schema.metadata[b'dims']))
    columns['features'] = np.array(columns['features']).reshape(-1, *shape)
    check(columns, expected)


def test_parquet_without_pyarrow(view, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    with pytest.raises(ModuleNotFoundError, match='pip install pyarrow'):
        export_features(view, tmp_path / 'a.parquet', fingerprint='f1')
    assert list(tmp_path.glob('*a.parquet*')) == []


def test_wrong_exports(view, store, tmp_path):
    with pytest.raises(ValueError, match=r'a\.csv: expected a file in \.npz or \.parquet'):
        export_features(view, tmp_path / 'a.csv', fingerprint='f1')
    with store.writer() as writer:
        writer.remove(video.path for video in view.encoded_videos())
    with pytest.raises(ValueError, match='holds no video'):
        export_features(store.view(), tmp_path / 'a.npz', fingerprint='f1')
