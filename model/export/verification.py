"""An artifact beside its checkpoint: scores, size and latency, by running the file."""

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from model.evaluation import scoring, summary
from model.export import formats
from model.inference.predictor import Predictor
from model.network.checkpoints import inference_copy

# A larger fall of the mean IoU is a fault of the artifact.
LARGEST_DROP = 0.01
# Latency is the median of so many runs, after one that does not count.
TIMED_RUNS = 9


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured of a checkpoint or an artifact.

    Attributes:
        title: `checkpoint`, or the name of the format.
        metrics: dict, see `summary.summarize`.
        size_bytes: of the file, or of all files in the folder.
        latency_ms: median time for one image on the CPU, ms.
    """

    title: str
    metrics: dict[str, Any]
    size_bytes: int
    latency_ms: float

    @property
    def mean_iou(self) -> float:
        """In [0, 1]."""
        return self.metrics["mean_iou"]


def compare(
    predictor: Predictor, path: pathlib.Path, kind: str, examples: tf.data.Dataset
) -> tuple[Measured, Measured]:
    """Returns what was measured of the checkpoint and of the artifact.

    Args:
        predictor: of the checkpoint.
        path: the artifact.
        kind: its format.
        examples: to score both on, see `batching.example_dataset`.
    """
    artifact = formats.load(path, kind)
    replaced = Predictor(predictor.path, network=_as_network(artifact), batch_size=1)
    size = predictor.image_size
    image = np.zeros((1, size, size, 3), np.uint8)
    return (
        Measured(
            "checkpoint",
            score(predictor, examples, "checkpoint"),
            size_bytes(predictor.path),
            latency_ms(on_cpu(predictor.model, size), image),
        ),
        Measured(
            kind,
            score(replaced, examples, kind),
            size_bytes(path),
            latency_ms(artifact, image),
        ),
    )


def score(
    predictor: Predictor, examples: tf.data.Dataset, title: str
) -> dict[str, Any]:
    """Returns the metrics of a predictor on examples, see `summary.summarize`."""
    print(f"Scoring the {title}")
    progress = keras.utils.Progbar(int(examples.cardinality()), unit_name="frame")
    scored = scoring.evaluate(
        predictor,
        examples.as_numpy_iterator(),
        num_pictured=1,
        progress=progress.update,
    )
    return summary.summarize(scored)


def on_cpu(model: keras.Model, image_size: int) -> formats.Artifact:
    """Returns a network as a function like an artifact, with its weights on the CPU.

    A copy: on a machine with a GPU the model's own weights lie there, and each run on
    the CPU would copy them first, which no artifact has to do.
    """
    with tf.device(formats.CPU):
        serve, image = formats.serving(inference_copy(model), image_size)
        call = tf.function(serve, [image], autograph=False).get_concrete_function()

    def run(images):
        with tf.device(formats.CPU):
            outputs = call(tf.constant(images))
        return outputs["mask"].numpy(), outputs["probabilities"].numpy()

    return run


def latency_ms(run: Callable[[np.ndarray], Any], image: np.ndarray) -> float:
    """Returns the median time of `run(image)` in milliseconds."""
    times = []
    for _ in range(TIMED_RUNS + 1):
        start = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[1:])


def size_bytes(path: pathlib.Path) -> int:
    """Returns the bytes of a file or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _as_network(artifact):
    """Returns an artifact as a `network` for `Predictor`: float images in [0, 1]."""

    def network(images):
        pixels = np.rint(np.asarray(images) * 255).astype(np.uint8)
        return artifact(pixels)[1]

    return network
