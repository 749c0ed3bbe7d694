"""Artifacts that run without this project: SavedModel, ONNX and LiteRT files.

All take `image` uint8 [N, S, S, 3] RGB and give `mask` int32 [N, S, S], class ids, and
`probabilities` float32 [N, S, S, num_classes]. N is free. `FORMATS`, at the end, is
the one place that knows a format: to add one, write two functions and a row there.
"""

import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from lunar_tfds.cores import num_cores
from model.network.checkpoints import inference_copy
from model.network.extras import need

# ONNX operator set: 17 is read by onnxruntime 1.12 and newer.
ONNX_OPSET = 17
# Artifacts are for machines that may have no GPU: they are run and timed on the CPU,
# and their weights must lie there, or each call would copy them from the GPU.
CPU = "CPU:0"
_SIGNATURE = "serving_default"

# From uint8 [N, S, S, 3] to (mask int32 [N, S, S], probabilities float32
# [N, S, S, num_classes]), numpy arrays.
Artifact = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Format:
    """How one format is written and run.

    Attributes:
        suffix: of its files; empty for a folder.
        write: function of (model, image_size, path, calibration images) that writes
            the file or folder `path`.
        load: function from the path to an `Artifact` on the CPU.
        packages: what `write` and `load` import beyond TensorFlow.
        is_calibrated: whether `write` needs calibration images.
    """

    suffix: str
    write: Callable[[keras.Model, int, pathlib.Path, Sequence[np.ndarray]], None]
    load: Callable[[pathlib.Path], Artifact]
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


def write(
    model: keras.Model,
    image_size: int,
    path: pathlib.Path,
    kind: str,
    calibration_images: Iterable[np.ndarray] = (),
) -> None:
    """Writes `model` as an artifact, in float32 whatever it was trained in.

    bfloat16 has no place in ONNX operator sets and LiteRT kernels for the CPU.

    Args:
        model: `keras.Model` from float32 [N, S, S, 3] in [0, 1] to logits.
        image_size: S, px.
        path: the file, or for a SavedModel the folder, to write; nothing is there.
        kind: a key of `FORMATS`.
        calibration_images: for formats that are calibrated: uint8 [S, S, 3] images
            like those to come, from which the ranges of activations are measured.

    Raises:
        ValueError: no calibration images, or see `find`.
    """
    chosen = find(kind)
    images = list(calibration_images) if chosen.is_calibrated else []
    if chosen.is_calibrated and not images:
        raise ValueError(
            f"--format={kind} needs calibration images: pass some that look like those "
            "to come"
        )
    chosen.write(inference_copy(model, "float32"), image_size, path, images)


def load(path: pathlib.Path, kind: str) -> Artifact:
    """Returns an artifact as a function, run by its own runtime on the CPU.

    Args:
        path: what `write` wrote.
        kind: its format.

    Raises:
        ValueError: see `find`.
    """
    return find(kind).load(path)


def serving(model: keras.Model, image_size: int) -> tuple[Callable, tf.TensorSpec]:
    """Returns what every artifact computes, and the spec of its input.

    Returns:
        Function from `image` uint8 [N, S, S, 3] to a dict of `mask` and
        `probabilities`, tensors, and the `tf.TensorSpec` of `image`.
    """

    def serve(image):
        logits = model(tf.cast(image, tf.float32) / 255.0, training=False)
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        mask = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        return {"mask": mask, "probabilities": probabilities}

    shape = (None, image_size, image_size, 3)
    return serve, tf.TensorSpec(shape, tf.uint8, name="image")


def _write_saved_model(model, image_size, path, _=()):
    serve, image = serving(model, image_size)
    # keras.export.ExportArchive would write every weight twice.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve = tf.function(serve, input_signature=[image], autograph=False)
    tf.saved_model.save(module, str(path), signatures={_SIGNATURE: module.serve})


def _load_saved_model(path):
    with tf.device(CPU):
        loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures[_SIGNATURE]

    def run(images, _loaded=loaded):  # The signature alone would not keep it alive.
        with tf.device(CPU):
            outputs = signature(image=tf.constant(images))
        return outputs["mask"].numpy(), outputs["probabilities"].numpy()

    return run


def _write_onnx(model, image_size, path, _=()):
    import tf2onnx

    serve, image = serving(model, image_size)
    tf2onnx.convert.from_function(
        tf.function(serve, autograph=False),
        input_signature=[image],
        opset=ONNX_OPSET,
        output_path=str(path),
    )


def _load_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    return lambda images: tuple(
        session.run(["mask", "probabilities"], {"image": images})
    )


def _write_litert(model, image_size, path, images, prepare=lambda *_: None):
    """Converts by way of a SavedModel; `prepare(converter, images)` sets options."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".litert-") as folder:
        _write_saved_model(model, image_size, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        prepare(converter, images)
        path.write_bytes(converter.convert())


def _float16_weights(converter, _):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _int8(converter, images):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = lambda: ([i[np.newaxis]] for i in images)


def _load_litert(path):
    interpreter = tf.lite.Interpreter(model_path=str(path), num_threads=num_cores())
    runner = interpreter.get_signature_runner(_SIGNATURE)

    def run(images, _interpreter=interpreter):
        outputs = runner(image=images)
        return outputs["mask"], outputs["probabilities"]

    return run


FORMATS = {
    "saved_model": Format("", _write_saved_model, _load_saved_model),
    "onnx": Format(
        ".onnx", _write_onnx, _load_onnx, packages=("tf2onnx", "onnx", "onnxruntime")
    ),
    "litert": Format(".tflite", _write_litert, _load_litert),
    "litert_fp16": Format(
        ".tflite",
        functools.partial(_write_litert, prepare=_float16_weights),
        _load_litert,
    ),
    "litert_int8": Format(
        ".tflite",
        functools.partial(_write_litert, prepare=_int8),
        _load_litert,
        is_calibrated=True,
    ),
}
