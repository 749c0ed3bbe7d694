"""How much memory a process has held at most."""

import contextlib
import pathlib
import sys

# Of this process alone, in Linux; `getrusage` counts what started it, too.
_STATUS = pathlib.Path("/proc/self/status")


def peak_memory(*, of_workers: bool = False) -> int | None:
    """Returns bytes, or None where the system does not tell, as Windows.

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
    return peak if sys.platform == "darwin" else peak * 1024  # In macOS it is bytes.
