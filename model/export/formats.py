"""Artifacts that run without this project: SavedModel, ONNX and LiteRT files.

All take `image` uint8 [N, S, S, 3] RGB and give `mask` int32 [N, S, S], class ids, and
`probabilities` float32 [N, S, S, num_classes]. N is free. `FORMATS`, at the end, is
the one place that knows a format: to add one, write its functions and a row there.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from lunar_tfds.machine import num_cores
from model.export import litert_files, onnx_files, runtimes, saved_models
from model.export.runtimes import Artifact, Cost
from model.export.serving import Source
from model.network.checkpoints import inference_copy
from model.network.extras import need

# Latency is the median of so many runs, after one that does not count.
TIMED_RUNS = 9


@dataclasses.dataclass(frozen=True)
class Format:
    """How one format is written and run.

    Attributes:
        suffix: of its files; empty for a folder.
        write: function of (`Source`, path) that writes the file or folder.
        load: function of `runtimes` from (path, threads) to an `Artifact` on the CPU.
        details: function from the path to what the file says about itself.
        packages: what these import beyond TensorFlow.
        is_calibrated: whether `write` needs the source's images.
    """

    suffix: str
    write: Callable[[Source, pathlib.Path], None]
    load: Callable[[pathlib.Path, int], Artifact]
    details: Callable[[pathlib.Path], dict[str, Any]]
    packages: tuple[str, ...] = ()
    is_calibrated: bool = False


def find(kind: str) -> Format:
    """Returns a format, ready to be written and loaded.

    Raises:
        ValueError: there is none of this name, or a package is missing.
    """
    if kind not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}: got {kind!r}")
    for package in FORMATS[kind].packages:
        need(package, f"--format={kind}")
    return FORMATS[kind]


def write(source: Source, path: pathlib.Path, kind: str) -> None:
    """Writes an artifact, in float32 whatever the network was trained in.

    Args:
        source: what it is made from.
        path: the file, or for a SavedModel the folder, to write; nothing is there.
        kind: a key of `FORMATS`.

    Raises:
        ValueError: no calibration images, or see `find`.
        RuntimeError: the artifact does not say about itself what it should.
    """
    chosen = find(kind)
    if chosen.is_calibrated and not source.images:
        raise ValueError(
            f"--format={kind} needs calibration images: pass some that look like those "
            "to come"
        )
    model = inference_copy(source.model, "float32")
    chosen.write(dataclasses.replace(source, model=model), path)
    if (said := details(path, kind)) != dict(source.details):
        raise RuntimeError(f"{path} says about itself {said}, not {source.details}")


def load(path: pathlib.Path, kind: str) -> Artifact:
    """Returns an artifact as a function, run by its own runtime on the CPU.

    Args:
        path: what `write` wrote.
        kind: its format.

    Raises:
        ValueError: see `find`.
    """
    return find(kind).load(path, num_cores())


def details(path: pathlib.Path, kind: str) -> dict[str, Any]:
    """Returns what an artifact says about itself, see `serving.details_of`."""
    return find(kind).details(path)


def cost(path: pathlib.Path, kind: str, image_size: int) -> Cost:
    """Returns what one image costs an artifact in a process of its own."""
    load = find(kind).load
    return runtimes.measure(load, path, image_size, TIMED_RUNS, num_cores())


_LITERT = ("ai_edge_litert",)
_ONNX = ("tf2onnx", "onnx", "onnxruntime")
FORMATS = {
    "saved_model": Format(
        "", saved_models.write, runtimes.saved_model, saved_models.details
    ),
    "onnx": Format(".onnx", onnx_files.write, runtimes.onnx, onnx_files.details, _ONNX),
    "onnx_int8": Format(
        ".onnx",
        onnx_files.write_int8,
        runtimes.onnx,
        onnx_files.details,
        _ONNX,
        is_calibrated=True,
    ),
    "litert": Format(
        ".tflite", litert_files.write, runtimes.litert, litert_files.details, _LITERT
    ),
    "litert_fp16": Format(
        ".tflite",
        litert_files.write_float16,
        runtimes.litert,
        litert_files.details,
        _LITERT,
    ),
    "litert_int8": Format(
        ".tflite",
        litert_files.write_int8,
        runtimes.litert,
        litert_files.details,
        (*_LITERT, "ai_edge_quantizer"),
        is_calibrated=True,
    ),
}
