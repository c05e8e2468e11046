import os

from ts2net_mm.utils.workers import available_cpus


def test_available_cpus():
    assert 1 <= available_cpus() <= os.cpu_count()
