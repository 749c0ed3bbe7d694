"""Maps a function over many items on all cores, in order, with bounded memory."""

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from lunar_tfds import cores

Item = TypeVar("Item")
Result = TypeVar("Result")
# Results that may wait for their turn, per core: enough that one slow item does not
# idle the others, and 0.5 MB each.
WAITING_PER_CORE = 8


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    num_threads: int | None = None,
) -> Generator[Result, None, None]:
    """Yields function(item) for each item, in order.

    Threads suffice: decoding, checksums and compression release Python's lock.

    Args:
        function: called in other threads.
        items: iterable.
        num_threads: of the pool; all cores by default.
    """
    num_threads = num_threads or cores.num_cores()
    if num_threads == 1:
        yield from map(function, items)
        return
    items = iter(items)
    waiting: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
        try:
            for item in itertools.islice(items, WAITING_PER_CORE * num_threads):
                waiting.append(pool.submit(function, item))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(
                    pool.submit(function, item) for item in itertools.islice(items, 1)
                )
        finally:  # After an error, or when the caller stops early.
            pool.shutdown(wait=False, cancel_futures=True)
