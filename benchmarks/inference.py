"""Measures what reading, resizing and writing add to the bare network.

    python -m benchmarks.inference [--frames=100] [--precision=bfloat16]

The bare network is the predictor's compiled function, called in a plain `for` loop on a
batch in memory. Beside it runs what predict.py does: photos are read from files, and
all that it writes by default is written.
"""

import dataclasses
import pathlib
import sys
import tempfile

import numpy as np
import tensorflow as tf

from benchmarks import harness
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
class Benchmark:
    """What to measure."""

    checkpoint: str = setting(
        starter.NAME, "A .keras file, a workdir: its best, or starter.", is_path=True
    )
    images: str | None = setting(
        None, "Photos to predict; by default drawn scenes.", is_path=True
    )
    frames: int = setting(20, "How many a turn.", at_least(1))
    turns: int = setting(5, "Turns of each; medians count.", at_least(1))
    batch_size: int | None = setting(
        None, "Images run at once; by device.", at_least(1)
    )
    precision: str | None = setting(
        None, "What the network computes in.", choices=tuple(POLICIES)
    )

    def __post_init__(self):
        check(self)


def measure(config: Benchmark) -> tuple[float, float]:
    """Return images per second of the bare network, and of a prediction with files."""
    predictor = Predictor(
        config.checkpoint, batch_size=config.batch_size, precision=config.precision
    )
    with tempfile.TemporaryDirectory() as folder:
        files = _files(config, pathlib.Path(folder))
        output = pathlib.Path(folder) / "predictions"
        output.mkdir()
        ways = {
            "bare": lambda: harness.wall_seconds(
                lambda: _run_bare(predictor, len(files))
            ),
            "predict": lambda: harness.wall_seconds(
                lambda: _predict(predictor, files, output)
            ),
        }
        taken = harness.alternate(ways, config.turns)
    return len(files) / taken["bare"], len(files) / taken["predict"]


def _files(config: Benchmark, folder: pathlib.Path) -> list[ImageFile]:
    """Return the files to predict, made where none are given."""
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


def _run_bare(predictor: Predictor, num_images: int) -> None:
    """Run the network alone on so many images, in whole batches."""
    size, network = predictor.networks[0]
    batch = tf.random.stateless_uniform((predictor.batch_size, size, size, 3), (0, 0))
    for _ in range(-(-num_images // predictor.batch_size)):
        np.asarray(network(batch))


def _predict(
    predictor: Predictor, files: list[ImageFile], output: pathlib.Path
) -> None:
    """Predict from files to files."""
    outputs = build_outputs(OutputChoice(), output, str(predictor.path), MIN_AREA)
    segment(files, predictor, outputs)


def main(config: Benchmark) -> None:
    """Print both rates and their ratio."""
    bare, predicted = measure(config)
    print(harness.processor())
    print(f"bare network  {bare:8.2f} images/s")
    print(f"predict       {predicted:8.2f} images/s  {predicted / bare:.2f} of it")


if __name__ == "__main__":
    sys.exit(command_line.run(Benchmark, main))
