"""Measures this pipeline and other ways side by side in one run.

    python -m pipeline.benchmark [--json=FILE]

All read the same drawn frames, of the size and file size of real renders. They are
measured in turns, several rounds of each, so that a slow moment of the machine meets
them all; the best round counts. CPU time is that of all threads and worker processes.
"""

import dataclasses
import importlib.util
import itertools
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

import psutil
import tensorflow as tf
import tensorflow_datasets as tfds

from lunar_tfds import command_line
from lunar_tfds.atomic_files import write_json
from lunar_tfds.kaggle_layout import FRAME_HEIGHT, FRAME_WIDTH
from lunar_tfds.machine import num_cores
from lunar_tfds.settings import at_least, check, setting
from pipeline import (
    batching,
    benchmark_alternatives,
    benchmark_frames,
    execution,
    pixels,
    records,
)
from pipeline.augmentation import Augmentation, draw
from pipeline.cache import Reading
from pipeline.selection import Selection

BATCH_SIZE = 8
# How the names of other projects' pipelines begin.
RIVALS = ("tf_data_naive", "dataloader_", "grain_")
# Batches that a pipeline may have ready when its turn comes; they are not counted.
DRAINED_BATCHES = 8
# A core is at rest when it works less than this share of a moment of this length, s.
REST, MOMENT = 0.1, 0.2


@dataclasses.dataclass
class Contestant:
    """One way of making batches, and what it measured.

    Attributes:
        name: the name in the JSON.
        batches: endless iterator of batches of `BATCH_SIZE`.
        process_ids: worker processes whose CPU time counts too.
        rounds: (examples/s, CPU ms per example) of each round.
    """

    name: str
    batches: Iterator
    process_ids: tuple = ()
    rounds: list = dataclasses.field(default_factory=list)

    def drain(self) -> None:
        """Takes what may be ready; the first time, compiles and starts processes."""
        for _ in itertools.islice(self.batches, DRAINED_BATCHES):
            pass

    def run(self, seconds: float) -> None:
        """Measures one round."""
        self.drain()
        start, cpu_start, count = time.perf_counter(), self.cpu_seconds(), 0
        while time.perf_counter() - start < seconds:
            next(self.batches)
            count += BATCH_SIZE
        elapsed = time.perf_counter() - start
        cpu = self.cpu_seconds() - cpu_start
        self.rounds.append((count / elapsed, 1000 * cpu / count))

    def best(self) -> tuple[float, float]:
        """Returns (examples/s of the best round, median CPU ms per example)."""
        rates, cpu = zip(*self.rounds, strict=True)
        return max(rates), statistics.median(cpu)

    def cpu_seconds(self) -> float:
        """Returns the CPU time so far of this process and the contestant's workers."""
        ticks = 0
        for process_id in self.process_ids:
            stat = pathlib.Path(f"/proc/{process_id}/stat").read_text()
            ticks += sum(map(int, stat.rpartition(")")[2].split()[11:13]))
        return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def settle(found: list[Contestant]) -> None:
    """Waits until the contestants whose turns are over have filled their buffers."""
    used = [contestant.cpu_seconds() for contestant in found]
    while True:
        time.sleep(MOMENT)
        before, used = used, [contestant.cpu_seconds() for contestant in found]
        if max(b - a for a, b in zip(before, used, strict=True)) < REST * MOMENT:
            return


def naive(builder: tfds.core.DatasetBuilder, split: str, size: int) -> tf.data.Dataset:
    """Returns endless batches made of stock TensorFlow operations, one by one."""

    def augment(example):
        image = tf.image.resize(tf.cast(example["image"], tf.float32), [size, size])
        ids = tf.image.resize(example["ground_mask"], [size, size], "nearest")
        angle = tf.random.uniform([], -0.17, 0.17)
        cos, sin = tf.cos(angle), tf.sin(angle)
        transform = tf.stack([cos, -sin, 0.0, sin, cos, 0.0, 0.0, 0.0])[None]
        warped = [
            tf.raw_ops.ImageProjectiveTransformV3(
                images=pixels[None],
                transforms=transform,
                output_shape=[size, size],
                fill_value=0.0,
                interpolation=method,
                fill_mode="REFLECT",
            )[0]
            for pixels, method in ((image, "BILINEAR"), (ids, "NEAREST"))
        ]
        return tf.image.random_brightness(warped[0] / 255.0, 0.1), warped[1]

    # Like the others, it decodes the image and one mask.
    decoders = tfds.decode.PartialDecoding({"image": True, "ground_mask": True})
    # TFDS would cache decoded pixels of so few frames, and does not of all of them.
    config = tfds.ReadConfig(try_autocache=False)
    dataset = builder.as_dataset(split=split, decoders=decoders, read_config=config)
    dataset = dataset.repeat()
    dataset = dataset.map(augment, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(BATCH_SIZE).prefetch(2)


def decode_only(builder: tfds.core.DatasetBuilder, split: str) -> tf.data.Dataset:
    """Returns endless batches of decoded images and masks: what no reader can beat."""
    examples = records.find(builder, Selection(split))
    decode = pixels.decoder(examples, "ground")
    dataset = tf.data.Dataset.range(len(examples)).repeat()
    return execution.ready(execution.mapped_batches(dataset, decode, BATCH_SIZE))


def warp_only(
    builder: tfds.core.DatasetBuilder, split: str, size: int
) -> tf.data.Dataset:
    """Returns endless batches warped from the same pixels again and again."""
    examples = records.find(builder, Selection(split))
    source = pixels.Source(examples, "ground", (size, size))
    strength, packed_and_ids = Augmentation(), source(0)
    warped = batching.Warp(source, (size, size), strength, True)

    def plan(step):
        return warped.prepare(draw(strength, 0, step, BATCH_SIZE))

    def warp(*prepared):
        return warped(packed_and_ids, prepared)

    dataset = execution.mapped(tf.data.Dataset.range(tf.int64.max), plan).unbatch()
    return execution.ready(execution.mapped_batches(dataset, warp, BATCH_SIZE))


def contestants(folder: pathlib.Path, num_frames: int, size: int) -> list[Contestant]:
    """Returns a `Contestant` for each way that the installed packages allow."""
    builder, split, pairs = benchmark_frames.write(folder, num_frames)
    kilobytes = benchmark_frames.pixel_bytes(pairs) / 1000
    print(
        f"{num_frames} frames of {FRAME_WIDTH}x{FRAME_HEIGHT}, "
        f"{kilobytes:.0f} kB each, to {size}x{size}."
    )
    everything, memory = Augmentation(gamma=0.2, noise=0.02), Reading("memory")

    def ours(**settings):
        batches = batching.Batches(size, BATCH_SIZE)
        return batching.training_dataset(builder, Selection(split), batches, **settings)

    datasets = {
        "tf_data_naive": naive(builder, split, size),
        "ours_uncached": ours(),
        "ours_cached": ours(reading=memory),
        "ours_cached_grey": ours(reading=Reading("memory", cache_channels=1)),
        "ours_cached_all": ours(reading=memory, augmentation=everything),
        "decode_only": decode_only(builder, split),
        "warp_only": warp_only(builder, split, size),
    }
    generator = benchmark_alternatives.python_generator(pairs, size, BATCH_SIZE)
    found = [Contestant("python_generator", generator)]
    found += [Contestant(name, iter(d)) for name, d in datasets.items()]
    if importlib.util.find_spec("cv2"):
        frame = FRAME_HEIGHT, FRAME_WIDTH
        batches = benchmark_alternatives.opencv_warp(size, BATCH_SIZE, frame)
        found.append(Contestant("opencv_warp", batches))
    return found + list(_rivals(pairs, size))


def _rivals(pairs: list[tuple[str, str]], size: int) -> Iterator[Contestant]:
    """Yields the pipelines of other projects that the installed packages allow."""
    strength = dataclasses.asdict(Augmentation())

    def loader(dataset, wrap=lambda batches: batches):
        batches, workers = benchmark_alternatives.data_loader(
            dataset, BATCH_SIZE, num_cores()
        )
        return wrap(batches), tuple(workers)

    if all(map(importlib.util.find_spec, ("torch", "albumentations", "cv2"))):
        files = benchmark_alternatives.FolderDataset(pairs, size, strength)
        yield Contestant("dataloader_albumentations", *loader(files))
        if importlib.util.find_spec("grain"):
            before = set(psutil.Process().children(recursive=True))
            batches = benchmark_alternatives.grain_batches(
                files, BATCH_SIZE, num_cores()
            )
            first = next(batches)  # Starts the processes.
            started = set(psutil.Process().children(recursive=True)) - before
            batches = itertools.chain([first], batches)
            ids = tuple(process.pid for process in started)
            yield Contestant("grain_albumentations", batches, ids)
    if all(map(importlib.util.find_spec, ("torch", "torchvision"))):
        transform = benchmark_alternatives.torchvision_transform(size, strength)
        tensors = benchmark_alternatives.TensorDataset(pairs, transform)
        yield Contestant("dataloader_torchvision_v2", *loader(tensors))
    if all(map(importlib.util.find_spec, ("torch", "torchvision", "kornia"))):
        decoded = benchmark_alternatives.TensorDataset(pairs)

        def augmented(batches):
            return benchmark_alternatives.kornia_batches(batches, size, strength)

        yield Contestant("dataloader_kornia", *loader(decoded, augmented))


def table(results: list[dict]) -> str:
    """Returns the results as text, with each rate as a multiple of the generator's."""
    base = results[0]["examples_per_s"]
    lines = [f"{'':28}{'examples/s':>12}{'CPU ms each':>13}{'ratio':>8}"]
    for result in results:
        rate, cpu = result["examples_per_s"], result["cpu_ms_per_example"]
        lines.append(f"{result['name']:28}{rate:12.1f}{cpu:13.2f}{rate / base:8.2f}")
    return "\n".join(lines)


def bars(results: list[dict]) -> str:
    """Returns lines that set this pipeline against what it must reach."""
    rate = {result["name"]: result["examples_per_s"] for result in results}
    rivals = [name for name in rate if name.startswith(RIVALS)]
    best = max(rivals, key=rate.__getitem__, default="")
    wanted = [
        ("ours_cached", "python_generator", 12.0),
        ("ours_cached", best, 6.0),
        ("ours_uncached", best, 1.0),
        ("ours_uncached", "decode_only", 0.65),
    ]
    return "\n".join(
        f"{name} / {other}: {rate[name] / rate[other]:.2f} (wanted: {least})"
        for name, other, least in wanted
        if other in rate
    )


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Settings of the command."""

    json: str | None = setting(None, "Writes the results to this file.", is_path=True)
    frames: int = setting(48, "Frames to draw, at least 8.", at_least(8))
    image_size: int = setting(512, "Side of the output, px.", at_least(16))
    rounds: int = setting(3, "Turns of each contestant.", at_least(1))
    seconds: float = setting(2.0, "Seconds of a turn.", at_least(0.1))

    def __post_init__(self):
        check(self)


def main(config: Benchmark) -> None:
    """Measures, prints a table and writes the JSON."""
    with tempfile.TemporaryDirectory() as folder:
        found = contestants(pathlib.Path(folder), config.frames, config.image_size)
        for contestant in found:
            contestant.drain()
        for _ in range(config.rounds):
            for contestant in found:
                settle(found)
                contestant.run(config.seconds)
    results = []
    for contestant in found:
        rate, cpu = contestant.best()
        results.append(
            {
                "name": contestant.name,
                "examples_per_s": round(rate, 1),
                "cpu_ms_per_example": round(cpu, 2),
            }
        )
    print(f"{num_cores()} CPU cores, batches of {BATCH_SIZE}.")
    print(table(results), bars(results), sep="\n")
    if config.json:
        write_json(config.json, results)


if __name__ == "__main__":
    sys.exit(command_line.run(Benchmark, main))
