"""Measures what a step costs before any picture is read, by the number of examples.

    python -m pipeline.benchmark_planning

Planning must not grow with the dataset: the first table is to be flat. The second says
what the index of the records takes, one file of so many small records.
"""

import dataclasses
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

import tensorflow as tf

from lunar_tfds import command_line
from lunar_tfds.settings import at_least, check, setting
from pipeline import order, records
from pipeline.augmentation import Augmentation, draw

BATCH_SIZE = 8
COUNTS = (10**4, 10**5, 10**6, 10**7)


def planned(count: int) -> tf.data.Dataset:
    """Returns the numbers and parameters of step after step, of so many examples."""
    steps = count // BATCH_SIZE

    def plan(step):
        places = step % steps * BATCH_SIZE + tf.range(BATCH_SIZE, dtype=tf.int64)
        numbers = order.permuted(places, count, 0, step // steps)
        return numbers, draw(Augmentation(), 0, step, BATCH_SIZE)

    return tf.data.Dataset.range(tf.int64.max).map(plan)


def microseconds(iterator: Iterator, steps: int) -> float:
    """Returns the time of a step, the mean over so many."""
    start = time.perf_counter()
    for _ in range(steps):
        next(iterator)
    return 1e6 * (time.perf_counter() - start) / steps


def index_of(count: int, folder: pathlib.Path) -> tuple[float, float]:
    """Returns (seconds to open, bytes held an example) of a file of so many records."""
    path = str(folder / "records.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for _ in range(count):
            writer.write(b"x")
    start = time.perf_counter()
    offsets = records.record_offsets(path, records.version(path))
    return time.perf_counter() - start, offsets.nbytes / count


@dataclasses.dataclass(frozen=True)
class Planning:
    """Settings of the command."""

    rounds: int = setting(5, "Turns of each; their median counts.", at_least(1))
    steps: int = setting(500, "Steps of a turn.", at_least(1))
    records: int = setting(10**6, "Records of the index.", at_least(1))

    def __post_init__(self):
        check(self)


def main(config: Planning) -> None:
    """Prints both tables."""
    iterators = {count: iter(planned(count)) for count in COUNTS}
    times: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(config.rounds + 1):
        for count, iterator in iterators.items():
            times[count].append(microseconds(iterator, config.steps))
    medians = {count: statistics.median(found[1:]) for count, found in times.items()}
    least = medians[COUNTS[0]]
    print(f"{'examples':>12}{'us a step':>12}{'ratio':>8}")
    for count, median in medians.items():
        print(f"{count:12,}{median:12.0f}{median / least:8.2f}")
    with tempfile.TemporaryDirectory() as folder:
        seconds, size = index_of(config.records, pathlib.Path(folder))
    print(f"index of {config.records:,} records: {seconds:.2f} s to open, ", end="")
    print(f"{size:.0f} bytes an example")


if __name__ == "__main__":
    sys.exit(command_line.run(Planning, main))
