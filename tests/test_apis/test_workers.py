import logging
import multiprocessing
import os
import time

import pytest

from ts2net_mm.apis.workers import Failure, default_num_workers, map_in_workers


def square(number: int) -> int:
    time.sleep(0.02 if number % 3 == 0 else 0)  # later items overtake
    return number * number


def die_on_seven(number: int) -> int:
    if number == 7:
        os._exit(11)
    return number


def print_loudly(number: int) -> int:
    os.write(1, b'noise on stdout')
    os.write(2, b'noise on stderr')
    print('more noise', flush=True)
    return number


@pytest.mark.parametrize('num_workers', [1, 3])
@pytest.mark.parametrize('max_ahead', [1, 4, 100])
def test_results_come_in_the_order_of_the_items(num_workers, max_ahead):
    results = map_in_workers(square, range(20), num_workers=num_workers, max_ahead=max_ahead)
    assert list(results) == [(number, number * number) for number in range(20)]


def test_no_items_give_no_results():
    assert list(map_in_workers(square, [])) == []


@pytest.mark.parametrize('num_workers', [1, 2])
def test_a_dying_worker_costs_only_the_item_it_died_on(num_workers):
    results = dict(map_in_workers(die_on_seven, range(12), num_workers=num_workers))
    failure = results.pop(7)
    assert isinstance(failure, Failure)
    assert 'crashed' in failure.reason
    assert results == {number: number for number in range(12) if number != 7}


def test_two_dying_workers(capfd):
    results = list(map_in_workers(die_on_seven, [7, 1, 7], num_workers=2))
    assert [number for number, _ in results] == [7, 1, 7]
    assert [isinstance(result, Failure) for _, result in results] == [True, False, True]


def test_workers_are_silent(capfd):
    assert len(list(map_in_workers(print_loudly, range(3), num_workers=2))) == 3
    assert capfd.readouterr() == ('', '')


def test_an_abandoned_map_leaves_no_process():

    results = map_in_workers(square, range(50), num_workers=2)
    next(results)
    results.close()
    assert multiprocessing.active_children() == []


def test_default_number_of_workers():
    assert 1 <= default_num_workers() <= 8


def log_loudly(path: str) -> str:
    logger = logging.getLogger('loud')
    logger.addHandler(logging.FileHandler(path))
    logger.critical('noise')
    return path


def test_workers_do_not_log(tmp_path):
    path = str(tmp_path / 'log')
    assert list(map_in_workers(log_loudly, [path], num_workers=1)) == [(path, path)]
    assert (tmp_path / 'log').read_text() == ''
