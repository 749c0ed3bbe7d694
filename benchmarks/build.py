"""Times a build of the dataset against the least work that it must do.

Run `python -m benchmarks.build --source=FOLDER --num_frames=600`. The frames of the
source, and their boxes, are linked under new numbers until there are enough of them.
"""

import collections
import csv
import dataclasses
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

import lunar_tfds
from lunar_tfds import command_line, kaggle_layout, machine, settings
from lunar_tfds.lunar_rocks import frame_files, jobs, picture_files, sources
from lunar_tfds.settings import at_least, setting


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to build, and how often."""

    source: str = setting(
        None,
        "Folder in the Kaggle layout.",
        is_path=True,
        missing="name a folder in the Kaggle layout, such as one of drawn scenes",
    )
    num_frames: int = setting(600, "Frames to build.", at_least(1))
    rounds: int = setting(2, "The best of so many runs counts.", at_least(1))
    only_build: bool = setting(False, "One build, for its peak memory.")

    def __post_init__(self):
        settings.check(self)


def multiply(source: pathlib.Path, folder: pathlib.Path, num_frames: int) -> None:
    """Link the frames of a source, and copy their boxes, under new numbers.

    Args:
        source: folder in the Kaggle layout.
        folder: the new one.
        num_frames: how many it will hold.

    Raises:
        ValueError: the source holds no frame.
    """
    renders = pathlib.Path(kaggle_layout.frame_file(kaggle_layout.RENDER, "")).parent
    parsed = [
        kaggle_layout.parse(f"{renders.as_posix()}/{path.name}")
        for path in (source / renders).glob("*")
    ]
    ids = sorted(name[1] for name in parsed if name)
    if not ids:
        raise ValueError(f"No frame in {source / renders}. Choose another --source.")
    chosen = [ids[number % len(ids)] for number in range(num_frames)]
    for kind in kaggle_layout.KINDS:
        for number, old in enumerate(chosen, start=1):
            new = kaggle_layout.frame_id(number)
            file = folder / kaggle_layout.frame_file(kind, new)
            file.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(source.absolute() / kaggle_layout.frame_file(kind, old), file)
    with open(source / kaggle_layout.BOXES_FILE) as text:
        header, *rows = csv.reader(text)
    boxes = collections.defaultdict(list)
    for frame, *box in rows:
        boxes[int(frame)].append(box)
    with open(folder / kaggle_layout.BOXES_FILE, "w", newline="") as text:
        table = csv.writer(text)
        table.writerow(header)
        for number, old in enumerate(chosen, start=1):
            table.writerows([number, *box] for box in boxes[int(old)])


def floor(source: pathlib.Path, folder: pathlib.Path) -> None:
    """Decode every mask once and copy every render, on all cores, and nothing else."""
    files = sources.open_source(source)
    frames, _, _ = frame_files.find_frames(files.sizes)

    def work(frame: frame_files.Frame) -> bytes:
        for mask in frame.masks.values():
            picture_files.decode_png(files.read(mask))
        return files.read(frame.image)

    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "renders.tfrecord")) as writer:
        for render in jobs.ordered_map(work, frames):
            writer.write(render)


def build(source: pathlib.Path, data_dir: pathlib.Path) -> None:
    """Build the dataset."""
    lunar_tfds.LunarRocks(data_dir=data_dir).download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=source)
    )


def seconds(function: Callable[..., Any], *args: Any) -> tuple[float, float]:
    """Return (wall seconds, CPU seconds) of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function(*args)
    return time.perf_counter() - wall, time.process_time() - cpu


def main(benchmark: Benchmark) -> None:
    """Print the table."""
    tfds.disable_progress_bar()
    source, num_frames = pathlib.Path(benchmark.source), benchmark.num_frames
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        multiply(source, root / "kaggle", num_frames)
        if not benchmark.only_build:
            compare(root, num_frames, benchmark.rounds)
        else:
            wall, cpu = seconds(build, root / "kaggle", root / "data")
            print(f"{num_frames} frames in {wall:.1f} s, CPU {cpu:.1f} s")
    if peak := machine.peak_memory():
        print(f"peak memory {peak / 2**30:.2f} GiB")


def compare(root: pathlib.Path, num_frames: int, rounds: int) -> None:
    """Measure all ways in turn for several rounds, and print the best of each.

    Args:
        root: folder with the source in `kaggle`, and room for what is built.
        num_frames: of the source.
        rounds: how often each has its turn.
    """
    source = root / "kaggle"
    ways: dict[str, Callable[[pathlib.Path], None]] = {
        "floor: decode masks, copy renders": lambda to: floor(source, to),
        "build": lambda to: build(source, to),
    }
    best: dict[str, tuple[float, ...]] = {}
    build(source, root / "warm-up")  # Imports what is needed, fills the disk cache.
    shutil.rmtree(root / "warm-up")
    for _ in range(rounds):
        for name, way in ways.items():
            taken = seconds(way, root / "out")
            best[name] = tuple(map(min, taken, best.get(name, taken)))
            shutil.rmtree(root / "out")
    least_wall, least_cpu = next(iter(best.values()))
    print(f"{num_frames} frames, {machine.num_cores()} cores, best of {rounds}")
    print(f"{'':36}{'frames/s':>10}{'x floor':>9}{'CPU ms/frame':>14}{'x floor':>9}")
    for name, (wall, cpu) in best.items():
        rate, cost = num_frames / wall, 1e3 * cpu / num_frames
        ratios = wall / least_wall, cpu / least_cpu
        print(f"{name:36}{rate:10.0f}{ratios[0]:9.2f}{cost:14.1f}{ratios[1]:9.2f}")


if __name__ == "__main__":
    sys.exit(command_line.run(Benchmark, main))
