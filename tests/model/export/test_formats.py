import dataclasses
import importlib.util
import warnings

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from model.export import formats, onnx_files
from model.export.serving import Source
from model.network.precision import policy
from tests.support import stand_in

SIZE = 32
DETAILS = {"name": "mine", "class_names": ["a", "b"], "image_size": SIZE}


@pytest.fixture(scope="module")
def model():
    return stand_in.build(SIZE, blur=3)


@pytest.fixture(scope="module")
def images():
    greys = np.random.default_rng(0).choice(stand_in.GREYS, (5, 8, 8)) * 255
    greys = greys.repeat(4, 1).repeat(4, 2)
    return np.repeat(greys[..., None], 3, -1).astype(np.uint8)


@pytest.fixture(scope="module")
def written(model, images, tmp_path_factory):
    """Returns the function from a format to the path of its artifact of `model`."""
    folder, paths = tmp_path_factory.mktemp("artifacts"), {}

    def path_of(kind):
        if kind not in paths:
            (folder / kind).mkdir()
            path = folder / kind / f"m{formats.FORMATS[kind].suffix}"
            source = Source(model, SIZE, DETAILS, list(images) * 2)
            formats.write(source, path, kind)
            paths[kind] = path
        return paths[kind]

    return path_of


def expected(model, images):
    return tf.nn.softmax(model(images.astype(np.float32) / 255)).numpy()


# Largest difference of a probability. int8 has 256 levels for all activations.
TOLERANCES = {"litert_fp16": 0.02, "litert_int8": 0.5, "onnx_int8": 0.5}


@pytest.mark.parametrize("kind", formats.FORMATS)
def test_an_artifact_gives_what_the_model_gives(written, model, images, kind):
    path = written(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        artifact = formats.load(path, kind)
    for batch in (images, images[:1]):  # N is free.
        mask, probabilities = artifact(batch)
        assert mask.dtype == np.int32 and mask.shape == (len(batch), SIZE, SIZE)
        assert probabilities.dtype == np.float32
        assert probabilities.shape == (len(batch), SIZE, SIZE, 4)
        reference = expected(model, batch)
        np.testing.assert_allclose(
            probabilities, reference, atol=TOLERANCES.get(kind, 1e-5)
        )
        assert (mask == reference.argmax(-1)).mean() > 0.98
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert formats.details(path, kind) == DETAILS


def test_an_artifact_that_says_something_else_of_itself_is_refused(
    tmp_path, monkeypatch
):
    silent = dataclasses.replace(
        formats.FORMATS["saved_model"], details=lambda path: {}
    )
    monkeypatch.setitem(formats.FORMATS, "saved_model", silent)
    with pytest.raises(RuntimeError, match="says about itself {}"):
        formats.write(
            Source(stand_in.build(16), 16, DETAILS), tmp_path / "m", "saved_model"
        )


def test_a_saved_model_has_a_serving_signature(written):
    loaded = tf.saved_model.load(str(written("saved_model")))
    signature = loaded.signatures["serving_default"]
    spec = signature.structured_input_signature[1]["image"]
    assert spec.dtype == tf.uint8 and spec.shape.as_list() == [None, SIZE, SIZE, 3]
    assert set(signature.structured_outputs) == {"mask", "probabilities"}


def test_a_saved_model_holds_each_weight_once(written, model):
    stored = tf.train.list_variables(
        str(written("saved_model") / "variables/variables")
    )
    sizes = [np.prod(shape) for name, shape in stored if "VARIABLE_VALUE" in name]
    assert sum(sizes) == model.count_params() > 0


def test_onnx_names_and_types(written):
    onnx = pytest.importorskip("onnx")
    loaded = onnx.load(written("onnx"))
    onnx.checker.check_model(loaded)
    names = [value.name for value in (*loaded.graph.input, *loaded.graph.output)]
    assert names == ["image", "mask", "probabilities"]
    versions = {o.domain: o.version for o in loaded.opset_import}
    assert versions[""] == onnx_files.ONNX_OPSET


def test_onnx_in_int8_has_kernels_of_int8_with_a_scale_per_channel(written):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(written("onnx_int8")).graph
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        image, kernel = (made_by[name] for name in node.input[:2])
        assert image.op_type == kernel.op_type == "DequantizeLinear"
        values, scales = (weights[name] for name in kernel.input[:2])
        assert values.dtype == np.int8 and scales.shape == values.shape[:1]


def test_int8_holds_no_float_convolution(written):
    interpreter = Interpreter(str(written("litert_int8")))
    interpreter.allocate_tensors()
    kinds = {
        op["op_name"]: interpreter.get_tensor_details()[op["inputs"][0]]["dtype"]
        for op in interpreter._get_ops_details()
        if "CONV" in op["op_name"]
    }
    assert kinds and set(kinds.values()) == {np.int8}


@pytest.mark.parametrize("kind", ["onnx", "litert"])
def test_a_network_trained_in_bfloat16_is_exported_in_float32(tmp_path, images, kind):
    with policy("bfloat16"):
        mixed = stand_in.build(SIZE, blur=3)
    assert mixed.layers[1].compute_dtype == "bfloat16"
    path = tmp_path / f"m{formats.FORMATS[kind].suffix}"
    formats.write(Source(mixed, SIZE), path, kind)
    mask, _ = formats.load(path, kind)(images)
    reference = expected(stand_in.build(SIZE, blur=3), images).argmax(-1)
    np.testing.assert_array_equal(mask, reference)


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, model):
    with pytest.raises(ValueError, match="calibration"):
        formats.write(Source(model, SIZE), tmp_path / "m.tflite", "litert_int8")
    with pytest.raises(ValueError, match="format must be one of"):
        formats.write(Source(model, SIZE), tmp_path / "m", "caffe")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", formats.FORMATS["onnx"].packages)
def test_a_missing_package_is_named_before_the_work(monkeypatch, missing):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: name != missing and found(name) or None,
    )
    with pytest.raises(ValueError, match=f"needs {missing}, .*pip install"):
        formats.find("onnx")
