"""LiteRT (TensorFlow Lite) files: in float32, with float16 weights, and in int8.

What a file says about itself lies in a zip at its end, where LiteRT's metadata has the
files that belong to a model: `zipfile.ZipFile("m.tflite").read("metadata.json")`.
"""

import json
import pathlib
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from lunar_tfds.machine import num_cores
from model.export import saved_models
from model.export.runtimes import SIGNATURE
from model.export.serving import Source

_DETAILS = "metadata.json"


def write(source: Source, path: pathlib.Path) -> None:
    """Writes the network in float32 to `path`."""
    _put(_converted(source, path), source, path)


def write_float16(source: Source, path: pathlib.Path) -> None:
    """Writes the network with its weights in float16 to `path`."""

    def halve(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    _put(_converted(source, path, halve), source, path)


def write_int8(source: Source, path: pathlib.Path) -> None:
    """Writes the network in int8 to `path`: a scale per channel of each kernel.

    The ranges of activations are averages over the images of each one's smallest and
    largest value. TensorFlow's own converter takes the extremes of all images, one
    outlier of which makes every step coarser: small rocks lost 0.026 of their IoU on
    drawn scenes where these ranges lose 0.003.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe

    quantize = quantizer.Quantizer(_converted(source, path), recipe.static_wi8_ai8())
    # Probabilities stay in float32: 256 levels would tie where two classes are near.
    for operation in (
        qtyping.TFLOperationName.SOFTMAX,
        qtyping.TFLOperationName.OUTPUT,
    ):
        quantize.update_quantization_recipe(
            ".*", operation, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE
        )
    images = [{"image": image[None]} for image in source.images]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of the memory that calibration takes.
        ranges = quantize.calibrate({SIGNATURE: images}, num_threads=num_cores())
    made = quantize.quantize(
        ranges, enable_progress_bar=False, enable_progress_report=False
    )
    _put(made.quantized_model, source, path)


def details(path: pathlib.Path) -> dict[str, Any]:
    """Returns what a LiteRT file says about itself."""
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(_DETAILS))


def _converted(
    source: Source,
    path: pathlib.Path,
    prepare: Callable[[Any], None] = lambda converter: None,
) -> bytes:
    """Returns the file of a network, converted by way of a SavedModel beside `path`."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".litert-") as folder:
        saved_models.write(source, pathlib.Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        prepare(converter)
        return converter.convert()


def _put(content, source, path):
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_DETAILS, json.dumps(source.details, indent=2))
