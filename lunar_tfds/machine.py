"""Cores that a process may use, its vector units, and the memory that it used."""

import contextlib
import pathlib
import sys

import psutil

# Linux, this process alone; psutil has no peak there, and getrusage's begins with the
# peak of the parent process.
_STATUS = pathlib.Path("/proc/self/status")
_PROCESSORS = pathlib.Path("/proc/cpuinfo")


def num_cores() -> int:
    """Return the number of processor cores that this process may use."""
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # Not on macOS.
        return len(process.cpu_affinity())
    return psutil.cpu_count() or 1


def has_avx512() -> bool:
    """Return whether the processor has AVX-512; False where that cannot be read."""
    try:
        return " avx512f " in _PROCESSORS.read_text()
    except OSError:  # Not Linux.
        return False


def peak_memory(*, of_workers: bool = False) -> int | None:
    """Return the largest resident memory so far, bytes; None on Windows.

    Args:
        of_workers: of the largest worker process that has ended, if there was one.
    """
    try:
        import resource
    except ImportError:
        return None
    peak = 0
    if of_workers:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with contextlib.suppress(OSError, StopIteration):
        lines = _STATUS.read_text().splitlines()
        peak = peak or int(next(n for n in lines if n.startswith("VmHWM")).split()[1])
    peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (
        peak if sys.platform == "darwin" else peak * 1024
    )  # Bytes on macOS, else KiB.
