"""Order, errors and memory of the threads that decode masks."""

import subprocess
import sys
import threading
import time

import pytest

from lunar_tfds import command_line
from lunar_tfds.lunar_rocks import benchmark, parallel


def test_results_come_in_order_from_several_threads():
    threads = set()

    def work(number):
        threads.add(threading.get_ident())
        time.sleep(0.002 * (number % 3))
        return number * number

    found = list(parallel.ordered_map(work, range(60), num_threads=3))
    assert found == [number * number for number in range(60)]
    assert len(threads) == 3


def test_one_thread_is_the_callers_own():
    found = parallel.ordered_map(lambda _: threading.get_ident(), range(3), 1)
    assert set(found) == {threading.get_ident()}


def test_a_slow_reader_does_not_fill_the_memory():
    started = []
    results = parallel.ordered_map(started.append, range(1000), num_threads=2)
    next(results)
    time.sleep(0.1)
    assert len(started) <= 2 * parallel.WAITING_PER_CORE
    results.close()


def test_an_error_stops_the_rest():
    started = []

    def work(number):
        started.append(number)
        time.sleep(0.005)
        raise ValueError(f"frame {number}")

    with pytest.raises(ValueError, match="frame 0"):
        list(parallel.ordered_map(work, range(1000), num_threads=2))
    assert len(started) < 50


def test_benchmark_says_what_is_missing(tmp_path, caplog):
    for flag, line in (
        ("--rounds=2", "--source is missing"),
        (f"--source={tmp_path}", f"No frame in {tmp_path / 'images/render'}"),
    ):
        argv = ["benchmark", flag]
        assert command_line.run(benchmark.Benchmark, benchmark.main, argv) == 1
        assert line in caplog.messages[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_benchmark_prints_its_table(tiny_folder):
    command = [sys.executable, "-m", "lunar_tfds.lunar_rocks.benchmark"]
    command += [f"--source={tiny_folder}", "--num_frames=4", "--rounds=1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    for row in ("floor: decode masks", "build, all cores", "build, one thread"):
        assert row in result.stdout
    assert "peak memory" in result.stdout
