"""Times ways of doing a thing in alternating turns, and compares their medians.

A busy machine then slows all ways alike. Imports no TensorFlow.
"""

import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from lunar_tfds.machine import num_cores

# The vector units that change what a network takes, by their names in /proc/cpuinfo.
VECTOR_UNITS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd")
_PROCESSORS = pathlib.Path("/proc/cpuinfo")


def processor() -> str:
    """Return the processor's name, its vector units where known, and usable cores."""
    try:
        text = _PROCESSORS.read_text()
    except OSError:  # Not Linux.
        text = ""
    lines = [line.partition(":") for line in text.splitlines()]
    known = {key.strip(): value.split() for key, _, value in lines}
    flags = known.get("flags") or known.get("Features") or []
    units = [unit for unit in VECTOR_UNITS if unit in flags]
    name = " ".join(known.get("model name", [])) or platform.processor()
    return ", ".join(
        [
            name or platform.machine(),
            " ".join(units) or "vector units unknown",
            f"{num_cores()} cores",
        ]
    )


def wall_seconds(call: Callable[[], Any]) -> float:
    """Return the wall seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def seconds_per_call(
    call: Callable[[], Any], wait: Callable[[Any], Any], least: float
) -> float:
    """Return the mean seconds of a call whose results are waited for at the end.

    A GPU does not idle between queued calls. Their number doubles until all together
    take `least` seconds.

    Args:
        call: returns at once with a result that may not be ready.
        wait: takes a result and returns when it is ready.
        least: seconds to measure at least.
    """
    count = 1
    while True:
        start = time.perf_counter()
        for _ in range(count):
            result = call()
        wait(result)
        duration = time.perf_counter() - start
        if duration >= least:
            return duration / count
        count *= 2


def alternate(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the median of each way over the rounds, after one round to warm up.

    Args:
        ways: by name, a function that runs once and returns what it measured, s.
        rounds: how often each has its turn, at least 1.
    """
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            figure = way()
            if number:  # The first round compiles and fills caches.
                measured[name].append(figure)
    return {name: statistics.median(figures) for name, figures in measured.items()}
