"""Memory and file handles of a worker do not grow over thousands of videos."""

import os

import numpy as np
import pytest

from ts2net_mm.video import guarded_reader

pytestmark = pytest.mark.slow
VIDEOS = 3000
MEGABYTES = 20


def resident(pid: int) -> float:
    """Megabytes of a process that are in memory."""
    with open(f'/proc/{pid}/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20


def handles(pid: int) -> int:
    return len(os.listdir(f'/proc/{pid}/fd'))


@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='reads /proc')
@pytest.mark.parametrize('init', ['VideoInit', 'GuardedDecordInit'])
def test_three_thousand_videos(write_video, videos, make_dataset, record_property, init):
    """Every fiftieth is damaged and replaced."""
    for number in range(49):
        write_video(f'{number}.mp4', num_frames=6 + number % 3)
    (videos / 'bad.mp4').write_text('no video')
    pipeline = (
        dict(type=init),
        dict(type='SampleFramesByRate', num_frames=4),
        dict(type='VideoDecode'),
    )
    names = [*(f'{number}.mp4' for number in range(49)), 'bad.mp4']
    dataset = make_dataset({name: ['x'] for name in names}, pipeline)

    def measure() -> np.ndarray:
        pids = [os.getpid(), guarded_reader._helper().process.pid]
        return np.array([(resident(pid), handles(pid)) for pid in pids])

    for index in range(100):
        dataset[index % 50]
    before = measure()
    replaced = sum('bad_videos' in dataset[index % 50] for index in range(VIDEOS))
    growth = measure() - before
    assert replaced == VIDEOS // 50
    print(f'{init}: {growth[:, 0].round(1).tolist()} MB, {growth[:, 1].tolist()} handles')
    assert growth[:, 0].sum() < MEGABYTES
    assert (growth[:, 1] == 0).all()
