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
