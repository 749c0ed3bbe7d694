"""Order, errors and memory of the threads that decode masks."""

import threading
import time

import pytest

from lunar_tfds.lunar_rocks import jobs


def test_results_come_in_order_from_several_threads():
    threads = set()

    def work(number):
        threads.add(threading.get_ident())
        time.sleep(0.002 * (number % 3))
        return number * number

    found = list(jobs.ordered_map(work, range(60), num_threads=3))
    assert found == [number * number for number in range(60)]
    assert len(threads) == 3


def test_one_thread_is_the_callers_own():
    found = jobs.ordered_map(lambda _: threading.get_ident(), range(3), 1)
    assert set(found) == {threading.get_ident()}


def test_a_slow_reader_does_not_fill_the_memory():
    started = []
    results = jobs.ordered_map(started.append, range(1000), num_threads=2)
    next(results)
    time.sleep(0.1)
    assert len(started) <= 2 * jobs.WAITING_PER_CORE
    results.close()


def test_an_error_stops_the_rest():
    started = []

    def work(number):
        started.append(number)
        time.sleep(0.005)
        raise ValueError(f"frame {number}")

    with pytest.raises(ValueError, match="frame 0"):
        list(jobs.ordered_map(work, range(1000), num_threads=2))
    assert len(started) < 50
