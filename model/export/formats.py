"""Artifacts that run without this project: SavedModel, ONNX and LiteRT files.

All take `image` uint8 [N, S, S, 3] RGB and give `mask` int32 [N, S, S], class ids, and
`probabilities` float32 [N, S, S, num_classes]. N is free.
"""

import os
import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf

FORMATS = ("saved_model", "onnx", "litert", "litert_fp16", "litert_int8")
SUFFIXES = {"saved_model": "", "onnx": ".onnx"} | dict.fromkeys(FORMATS[2:], ".tflite")
# ONNX operator set: 17 is read by onnxruntime 1.12 and newer.
ONNX_OPSET = 17
_SIGNATURE = "serving_default"


def export(model, image_size, path, kind, calibration_images=None):
    """Writes `model` as an artifact, whole or not at all.

    Args:
        model: `keras.Model` from float32 [N, S, S, 3] in [0, 1] to logits.
        image_size: S, px.
        path: the file, or for a SavedModel the folder, to write; replaced if it is
            there.
        kind: one of `FORMATS`.
        calibration_images: for `litert_int8`: iterable of uint8 [S, S, 3] images like
            those to come, from which the ranges of activations are measured.

    Raises:
        ValueError: unknown kind, no calibration images, or a package is missing.
    """
    if kind not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}: got {kind!r}")
    model = _in_float32(model)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename on the same disk.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as scratch:
        scratch = pathlib.Path(scratch)
        if kind == "onnx":
            result = _write_onnx(model, image_size, scratch / "model.onnx")
        else:
            result = _write_saved_model(model, image_size, scratch / "saved_model")
        if kind.startswith("litert"):
            data = _litert(result, kind, calibration_images)
            result = scratch / "model.tflite"
            result.write_bytes(data)
        replace(result, path)


def replace(source, target):
    """Moves a file or folder to `target`, in place of what is there."""
    if target.is_dir():
        old = pathlib.Path(tempfile.mkdtemp(dir=target.parent, prefix=".old-"))
        os.replace(target, old / target.name)
        os.replace(source, target)
        shutil.rmtree(old)
    else:
        os.replace(source, target)


def is_saved_model(path):
    """Returns whether a folder is a SavedModel, which an export may replace."""
    return (pathlib.Path(path) / "saved_model.pb").is_file()


def remove(path):
    """Removes a file or folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def load_artifact(path, kind):
    """Returns an artifact as a function, run by its own runtime on the CPU.

    Args:
        path: what `export` wrote.
        kind: its format.

    Returns:
        Callable from uint8 [N, S, S, 3] to (mask int32 [N, S, S], probabilities
        float32 [N, S, S, num_classes]), numpy arrays.
    """
    if kind == "saved_model":
        return _load_saved_model(path)
    return _load_onnx(path) if kind == "onnx" else _load_litert(path)


def as_network(artifact):
    """Returns an artifact as a `network` for `Predictor`: float images in [0, 1]."""

    def network(images):
        pixels = np.rint(np.asarray(images) * 255).astype(np.uint8)
        return artifact(pixels)[1]

    return network


def size_bytes(path):
    """Returns the bytes of a file or of all files in a folder."""
    path = pathlib.Path(path)
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _in_float32(model):
    """Returns `model`, or a float32 copy of one trained in mixed precision.

    bfloat16 has no place in ONNX operator sets and LiteRT kernels for the CPU.
    """
    config = model.get_config()
    for layer in config["layers"]:
        layer["config"]["dtype"] = "float32"
    copy = model.__class__.from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def _serving(model, image_size):
    """Returns the artifact's function and the `tf.TensorSpec` of its input."""

    def serve(image):
        logits = model(tf.cast(image, tf.float32) / 255.0, training=False)
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        mask = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        return {"mask": mask, "probabilities": probabilities}

    shape = (None, image_size, image_size, 3)
    return serve, tf.TensorSpec(shape, tf.uint8, name="image")


def _write_saved_model(model, image_size, path):
    serve, image = _serving(model, image_size)
    # keras.export.ExportArchive would write every weight twice.
    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    module.serve = tf.function(serve, input_signature=[image], autograph=False)
    tf.saved_model.save(module, str(path), signatures={_SIGNATURE: module.serve})
    return path


def _write_onnx(model, image_size, path):
    try:
        import tf2onnx
    except ImportError as error:
        raise ValueError(_missing("tf2onnx")) from error
    serve, image = _serving(model, image_size)
    tf2onnx.convert.from_function(
        tf.function(serve, autograph=False),
        input_signature=[image],
        opset=ONNX_OPSET,
        output_path=str(path),
    )
    return path


def _litert(saved_model, kind, calibration_images):
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    if kind == "litert_fp16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    if kind == "litert_int8":
        images = list(() if calibration_images is None else calibration_images)
        if not images:
            raise ValueError(
                "int8 needs calibration images: pass some that look like those to come"
            )
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: ([i[np.newaxis]] for i in images)
    return converter.convert()


def _load_saved_model(path):
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures[_SIGNATURE]

    def run(images, _loaded=loaded):  # The signature alone would not keep it alive.
        outputs = signature(image=tf.constant(images))
        return outputs["mask"].numpy(), outputs["probabilities"].numpy()

    return run


def _load_onnx(path):
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(_missing("onnxruntime")) from error
    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    return lambda images: tuple(
        session.run(["mask", "probabilities"], {"image": images})
    )


def _load_litert(path):
    interpreter = tf.lite.Interpreter(model_path=str(path), num_threads=os.cpu_count())
    runner = interpreter.get_signature_runner(_SIGNATURE)

    def run(images, _interpreter=interpreter):
        outputs = runner(image=images)
        return outputs["mask"], outputs["probabilities"]

    return run


def _missing(package):
    return f"{package} is not installed. Install it with: pip install '.[export]'"
