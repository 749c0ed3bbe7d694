"""Which frames a source has, and reading them on all cores."""

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

from absl import logging

from lunar_tfds import kaggle_layout, machine
from lunar_tfds.lunar_rocks import annotations, frame_files
from lunar_tfds.lunar_rocks.read_frame import Job, Result, read_frame
from lunar_tfds.lunar_rocks.sources import DatasetFiles

Item = TypeVar("Item")
Output = TypeVar("Output")
# Results that may wait for their turn, per core, 0.5 MB each: enough that one slow item
# leaves no core idle.
WAITING_PER_CORE = 8


@dataclasses.dataclass
class JobList:
    """The frames of a source.

    Attributes:
        jobs: the complete frames, by split, with what the text files say of them.
        problems: frame id to the reason why a frame is incomplete.
        defect_lists: names of the author's lists of defects that are present, sorted.
    """

    jobs: dict[str, list[Job]]
    problems: dict[str, str]
    defect_lists: list[str]


def list_jobs(source: DatasetFiles, max_frames: int | None = None) -> JobList:
    """Return the JobList of a source; of its files only the text files are read.

    Args:
        source: where the files are.
        max_frames: how many frames of each split to keep, or None for all.

    Raises:
        ValueError: a text file is not as its author made it.
    """
    boxes = _read_boxes(source)
    defects = _read_defects(source)
    frames, problems, lone_photos = frame_files.find_frames(source.sizes)
    for photo_id, missing in sorted(lone_photos.items()):
        logging.warning("There is no %s: %s is left out.", missing, photo_id)
    jobs: dict[str, list[Job]] = {split: [] for split in frame_files.SPLITS}
    for frame in frames:
        named = [name for name, ids in defects.items() if frame.frame_id in ids]
        job = Job(frame, boxes.get(frame.frame_id, []), named)
        jobs[frame.split].append(job)
    kept = {split: of_split[:max_frames] for split, of_split in jobs.items()}
    return JobList(kept, problems, sorted(defects))


def _read_boxes(source: DatasetFiles) -> dict[str, list[annotations.Box]]:
    if kaggle_layout.BOXES_FILE not in source.sizes:
        logging.warning("No %s: `objects` stays empty.", kaggle_layout.BOXES_FILE)
        return {}
    return _parse(annotations.read_boxes, source, kaggle_layout.BOXES_FILE)


def _read_defects(source: DatasetFiles) -> dict[str, set[str]]:
    files = {name: kaggle_layout.defects_file(name) for name in kaggle_layout.DEFECTS}
    return {
        name: _parse(annotations.read_defect_list, source, file)
        for name, file in files.items()
        if file in source.sizes
    }


def _parse(parser: Callable[[bytes], Any], source: DatasetFiles, name: str) -> Any:
    try:
        return parser(source.read(name))
    except ValueError as error:
        raise ValueError(
            f"{name} of the {source.description} is not as its author made it: "
            f"{error}. Restore it, or remove it to build without."
        ) from error


def read_all(
    source: DatasetFiles,
    jobs: Iterable[Job],
    rock_threshold: int,
    num_threads: int | None = None,
) -> Iterator[Result]:
    """Yield the Result of each job, in order.

    Args:
        source: where the files are.
        jobs: the frames.
        rock_threshold: intensity from which a rock counts in a `ground` file.
        num_threads: by default one for each core.
    """
    read = functools.partial(read_frame, source, rock_threshold=rock_threshold)
    return ordered_map(read, jobs, num_threads)


def ordered_map(
    function: Callable[[Item], Output],
    items: Iterable[Item],
    num_threads: int | None = None,
) -> Generator[Output, None, None]:
    """Yield function(item) for each item, in order, with bounded memory.

    Threads are enough: decoding, checksums and compression release Python's lock.

    Args:
        function: called in other threads.
        items: the arguments.
        num_threads: of the pool; by default one for each core.
    """
    num_threads = num_threads or machine.num_cores()
    if num_threads == 1:
        yield from map(function, items)
        return
    items = iter(items)
    waiting: collections.deque[concurrent.futures.Future[Output]] = collections.deque()
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
