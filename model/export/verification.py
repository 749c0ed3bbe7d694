"""An artifact beside its checkpoint: scores, size and cost, by running the file."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from model.evaluation import scoring, summary
from model.export import formats, runtimes
from model.export.runtimes import Artifact, Cost
from model.export.serving import Source
from model.inference.predictor import Predictor
from model.network.checkpoints import inference_copy

# Larger falls of the mean IoU and of a class's IoU are faults of the artifact.
LARGEST_DROP = 0.005
LARGEST_CLASS_DROP = 0.01


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured of a checkpoint or an artifact.

    Attributes:
        title: `checkpoint`, or the name of the format.
        metrics: dict, see `summary.summarize`.
        size_bytes: of the file, or of all files in the folder.
        cost: of one image.
    """

    title: str
    metrics: dict[str, Any]
    size_bytes: int
    cost: Cost

    @property
    def mean_iou(self) -> float:
        """In [0, 1]."""
        return self.metrics["mean_iou"]


def measure_checkpoint(predictor: Predictor, examples: tf.data.Dataset) -> Measured:
    """Returns what was measured of a predictor's checkpoint on examples.

    Its memory is not: it is that of the whole of TensorFlow and Keras.
    """
    size = predictor.image_size
    image = np.zeros((1, size, size, 3), np.uint8)
    run = on_cpu(predictor.model, size)
    return Measured(
        "checkpoint",
        _score(predictor, examples, "checkpoint"),
        size_bytes(predictor.path),
        Cost(runtimes.median_ms(run, image, formats.TIMED_RUNS), None),
    )


def measure_artifact(
    predictor: Predictor, path: pathlib.Path, kind: str, examples: tf.data.Dataset
) -> Measured:
    """Returns what was measured of an artifact.

    Args:
        predictor: of the checkpoint.
        path: the artifact.
        kind: its format.
        examples: to score it on, see `batching.example_dataset`.
    """
    network = _as_network(formats.load(path, kind))
    replaced = Predictor(predictor.path, network=network, batch_size=1)
    return Measured(
        kind,
        _score(replaced, examples, kind),
        size_bytes(path),
        formats.cost(path, kind, predictor.image_size),
    )


def falls(
    checkpoint: Measured, artifact: Measured, class_names: Sequence[str]
) -> list[str]:
    """Returns what scores clearly lower in the artifact, in words; empty if none."""
    before, after = checkpoint.metrics, artifact.metrics
    pairs = [("mean IoU", before["mean_iou"], after["mean_iou"], LARGEST_DROP)]
    pairs += [
        (
            f"IoU of {name}",
            before["iou_per_class"][name],
            after["iou_per_class"][name],
            LARGEST_CLASS_DROP,
        )
        for name in class_names
    ]
    return [
        f"{name} from {old:.4f} to {new:.4f} (at most {limit} is allowed)"
        for name, old, new, limit in pairs
        if None not in (old, new) and old - new > limit
    ]


def on_cpu(model: keras.Model, image_size: int) -> Artifact:
    """Returns a network as a function like an artifact, with its weights on the CPU.

    A copy: on a machine with a GPU the model's own weights lie there, and each run on
    the CPU would copy them first, which no artifact has to do.
    """
    with tf.device(runtimes.CPU):
        source = Source(inference_copy(model), image_size)
        call = source.function.get_concrete_function()

    def run(images):
        with tf.device(runtimes.CPU):
            outputs = call(tf.constant(images))
        return outputs["mask"].numpy(), outputs["probabilities"].numpy()

    return run


def size_bytes(path: pathlib.Path) -> int:
    """Returns the bytes of a file or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _score(predictor, examples, title):
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


def _as_network(artifact):
    """Returns an artifact as a `network` for `Predictor`: float images in [0, 1]."""

    def network(images):
        pixels = np.rint(np.asarray(images) * 255).astype(np.uint8)
        return artifact(pixels)[1]

    return network
