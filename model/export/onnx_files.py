"""ONNX files: in float32 and in int8 (QDQ), for onnxruntime and accelerators."""

import json
import pathlib
import tempfile
from typing import Any

import tensorflow as tf

from model.export.serving import Source

# The newest operator set that tf2onnx writes.
ONNX_OPSET = 18
# What computes in int8. The normalizations of the skips and the activations stay in
# float32: one scale for all their channels is what costs score.
_INT8_NODES = ["Conv", "ConvTranspose", "MaxPool", "Concat", "Relu"]


def write(source: Source, path: pathlib.Path) -> None:
    """Writes the network in float32 to `path`."""
    import tf2onnx

    model, _ = tf2onnx.convert.from_function(
        tf.function(source.serve, autograph=False),
        input_signature=[source.spec],
        opset=ONNX_OPSET,
    )
    _put(model, source, path)


def write_int8(source: Source, path: pathlib.Path) -> None:
    """Writes the network in int8 to `path`: a scale per channel of each kernel.

    The ranges of activations are averages over the images, as in LiteRT's int8 file.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".onnx-") as folder:
        first, prepared, made = (pathlib.Path(folder, name) for name in "abc")
        write(source, first)
        shape_inference.quant_pre_process(first, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            made,
            _reader(quantization.CalibrationDataReader, source.images),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=_INT8_NODES,
            per_channel=True,
            # Kernels in 7 bits: x86 processors without VNNI add pairs of products in
            # 16, which those of 8 bits overflow.
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={"CalibMovingAverage": True},
        )
        _put(onnx.load(made), source, path)


def details(path: pathlib.Path) -> dict[str, Any]:
    """Returns what an ONNX file says about itself."""
    import onnx

    loaded = onnx.load(path, load_external_data=False)
    return {entry.key: json.loads(entry.value) for entry in loaded.metadata_props}


def _put(model, source, path):
    """Writes an ONNX model with its details, each JSON, as its metadata."""
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(
        model, {key: json.dumps(value) for key, value in source.details.items()}
    )
    onnx.save(model, path)


def _reader(base, images):
    """Returns onnxruntime's reader of calibration images."""

    class Reader(base):
        def __init__(self):
            self.images = iter(images)

        def get_next(self):
            image = next(self.images, None)
            return None if image is None else {"image": image[None]}

    return Reader()
