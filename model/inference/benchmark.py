"""Measures what reading, resizing and writing add to the bare network.

    python -m model.inference.benchmark [--frames=100] [--precision=bfloat16]

The bare network is the predictor's compiled function, called in a plain `for` loop on a
batch in memory. Beside it runs what predict.py does: photos are read from files, and
all that it writes by default is written. Both alternate in short turns, so that a busy
machine slows both alike, and the rates of all turns together are compared.
"""

import dataclasses
import pathlib
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf

from lunar_tfds import command_line
from lunar_tfds.image_arrays import to_png
from lunar_tfds.settings import at_least, check, setting
from lunar_tfds.synthetic import scene
from model.inference.image_files import ImageFile, find_images
from model.inference.output_choice import OutputChoice, build_outputs
from model.inference.predictor import Predictor
from model.inference.rocks import MIN_AREA
from model.inference.segmenting import segment
from model.network import starter
from model.network.precision import POLICIES

# So many scenes are drawn, and repeated. Scenes with rocks: each rock costs time.
DRAWN_SCENES = 10


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """What to measure."""

    checkpoint: str = setting(
        starter.NAME, "A .keras file, a workdir: its best, or starter.", is_path=True
    )
    images: str | None = setting(
        None, "Photos to predict; by default drawn scenes.", is_path=True
    )
    frames: int = setting(100, "How many.", at_least(1))
    turns: int = setting(5, "In how many turns.", at_least(1))
    batch_size: int | None = setting(
        None, "Images run at once; by device.", at_least(1)
    )
    precision: str | None = setting(
        None, "What the network computes in.", choices=tuple(POLICIES)
    )

    def __post_init__(self):
        check(self)


def measure(config: BenchmarkConfig) -> tuple[float, float]:
    """Returns images per second of the bare network, and of a prediction with files."""
    predictor = Predictor(
        config.checkpoint, batch_size=config.batch_size, precision=config.precision
    )
    bare = predicted = 0.0
    with tempfile.TemporaryDirectory() as folder:
        files = _files(config, pathlib.Path(folder))
        output = pathlib.Path(folder) / "predictions"
        output.mkdir()
        warm_up = files[: predictor.batch_size]
        _time_bare(predictor, len(warm_up))
        _time_prediction(predictor, warm_up, output)
        for turn in range(config.turns):
            part = files[turn :: config.turns]
            bare += _time_bare(predictor, len(part))
            predicted += _time_prediction(predictor, part, output)
    return len(files) / bare, len(files) / predicted


def _files(config: BenchmarkConfig, folder: pathlib.Path) -> list[ImageFile]:
    """Returns the files to predict, made where none are given."""
    if config.images:
        return find_images(config.images)[: config.frames]
    scenes = [
        to_png(scene.render_scene(seed=0, index=index)[0])
        for index in range(1, min(config.frames, DRAWN_SCENES) + 1)
    ]
    for number in range(config.frames):
        file = folder / f"frame{number:04}.png"
        file.write_bytes(scenes[number % len(scenes)])
    return find_images(folder)


def _time_bare(predictor: Predictor, num_images: int) -> float:
    """Returns the seconds that the network alone takes for so many images."""
    size, network = predictor.networks[0]
    batch = tf.random.stateless_uniform((predictor.batch_size, size, size, 3), (0, 0))
    start = time.perf_counter()
    for _ in range(-(-num_images // predictor.batch_size)):
        np.asarray(network(batch))
    return time.perf_counter() - start


def _time_prediction(
    predictor: Predictor, files: list[ImageFile], output: pathlib.Path
) -> float:
    """Returns the seconds from files to files."""
    start = time.perf_counter()
    outputs = build_outputs(OutputChoice(), output, str(predictor.path), MIN_AREA)
    segment(files, predictor, outputs)
    return time.perf_counter() - start


def main(config: BenchmarkConfig) -> None:
    """Prints both rates and their ratio."""
    bare, predicted = measure(config)
    print(f"bare network  {bare:8.2f} images/s")
    print(f"predict       {predicted:8.2f} images/s  {predicted / bare:.2f} of it")


if __name__ == "__main__":
    sys.exit(command_line.run(BenchmarkConfig, main))
