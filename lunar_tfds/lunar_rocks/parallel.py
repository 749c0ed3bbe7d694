"""Maps a function over many items on all cores, in order, with bounded memory."""

import collections
import concurrent.futures
import os

# Results that may wait for their turn, per core: enough that one slow item does not
# idle the others, and 0.5 MB each.
WAITING_PER_CORE = 8


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
    waiting = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= WAITING_PER_CORE * num_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # After an error, or when the caller stops early.
            pool.shutdown(wait=False, cancel_futures=True)
