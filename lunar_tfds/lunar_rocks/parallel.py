"""Maps a function over many items on all cores, in order, with bounded memory."""

import collections
import concurrent.futures
import itertools
import os

import numpy as np

# Results that may wait for their turn, per core: enough that one slow item does not
# idle the others, and 0.5 MB each.
WAITING_PER_CORE = 8
# Items that a thread takes at a time: handing one over wakes another thread, which for
# single frames costs a twentieth of a build.
BATCH = 4
# Bytes; half of what glibc's threshold may grow to.
_LARGE_BLOCK = 16 << 20


def num_cores():
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Not on macOS and Windows.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(function, items, num_threads=None):
    """Yields function(item) for each item, in order.

    Threads suffice: decoding, checksums and compression release Python's lock.

    Args:
        function: called in other threads.
        items: iterable.
        num_threads: of the pool; all cores by default.
    """
    num_threads = num_threads or num_cores()
    _keep_freed_memory()
    if num_threads == 1:
        yield from map(function, items)
        return

    def batch(some):
        return list(map(function, some))

    items, waiting = iter(items), collections.deque()
    with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
        try:
            while some := list(itertools.islice(items, BATCH)):
                waiting.append(pool.submit(batch, some))
                if BATCH * len(waiting) >= WAITING_PER_CORE * num_threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:  # After an error, or when the caller stops early.
            pool.shutdown(wait=False, cancel_futures=True)


def _keep_freed_memory():
    """Makes glibc keep freed blocks below 32 MB for the next frame.

    Until it has seen a freed block of their size, it hands the 4 MB of each frame back
    to the system, and 600 page faults fetch them anew: 2 ms a frame. The block here is
    never touched, so it takes no memory.
    """
    np.empty(_LARGE_BLOCK, np.uint8)
