import decord
import pytest


def test_all_are_made_with_videos_that_can_be_read(miniatures, tmp_path, capsys):
    assert miniatures.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.count('\n') == len(miniatures.MAKERS)
    for name in miniatures.MAKERS:
        videos = [path for path in (tmp_path / name / 'videos').rglob('*.*') if path.is_file()]
        whole = [path for path in videos if path.stat().st_size]
        assert len(whole) >= 7
        reader = decord.VideoReader(str(whole[0]))
        assert len(reader) >= 8
        assert reader.get_avg_fps() == pytest.approx(4)
    formats = {path.name.rpartition('.')[2] for path in tmp_path.rglob('videos/**/*.*')}
    assert formats == {'', 'avi', 'mov', 'mp4', 'webm'}


def test_windows_line_ends_and_utf_8(miniatures, tmp_path):
    mini = miniatures.make_lsmdc(tmp_path)
    content = (mini.annotations / 'LSMDC16_annos_training.csv').read_bytes()
    assert content.startswith(b'\xef\xbb\xbf')
    assert content.count(b'\r\n') == 6
    assert 'café' in content.decode()


def test_a_place_that_cannot_be_written(miniatures, tmp_path, capsys):
    (tmp_path / 'file').touch()
    assert miniatures.main([str(tmp_path / 'file')]) == 1
    assert capsys.readouterr().err.startswith('error: ')
