"""How much memory a process has held at most."""

import sys


def peak_memory(*, of_workers: bool = False) -> int | None:
    """Returns bytes, or None where the system does not tell, as Windows.

    Args:
        of_workers: of the largest worker process that has ended, if there was one: in
            Linux this process's own figure counts what started it.
    """
    try:
        import resource
    except ImportError:
        return None
    peak = 0
    if of_workers:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # In macOS it is bytes.
