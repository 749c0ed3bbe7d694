import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from model.export import formats, runtimes, verification
from model.export.runtimes import Cost
from model.export.serving import Source
from model.export.verification import Measured
from tests.support import stand_in

# A second CPU device stands for a GPU: the network's weights lie there.
ON_ANOTHER_DEVICE = """
import pathlib, sys
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2)
from model.export import formats, saved_models, verification
from model.export.serving import Source
from tests.support import stand_in
copies = []
def inference_copy(model, copy=verification.inference_copy):
    copies.append(copy(model))
    return copies[-1]
verification.inference_copy = inference_copy
image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8)
with tf.device("CPU:1"):
    model = stand_in.build(16, blur=3)
    assert {v.value.device[-5:] for v in model.variables} == {"CPU:1"}
    run = verification.on_cpu(model, 16)
    path = sys.argv[1]
    saved_models.write(Source(model, 16), pathlib.Path(path))
    loaded = formats.load(path, "saved_model")
    weights = loaded.__defaults__[0].weights
    expected = tf.nn.softmax(model(image / np.float32(255)))
    for mask, probabilities in (run(image), loaded(image)):
        np.testing.assert_allclose(probabilities, expected, atol=1e-4)
        np.testing.assert_array_equal(mask, probabilities.argmax(-1))
(copy,) = copies
assert {v.value.device[-5:] for v in copy.variables} == {"CPU:0"}
assert {v.device[-5:] for v in weights} == {"CPU:0"}
"""


def test_what_is_timed_on_the_cpu_has_its_weights_there(tmp_path):
    subprocess.run(
        [sys.executable, "-c", ON_ANOTHER_DEVICE, str(tmp_path / "m")],
        check=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )


def test_latency_is_the_median_without_the_first_run(monkeypatch):
    clock = itertools.accumulate([0, 9.0, 0, 0.001, 0, 0.5, 0, 0.002])
    monkeypatch.setattr(runtimes.time, "perf_counter", lambda: next(clock))
    calls = []
    image = np.zeros((1, 2, 2, 3), np.uint8)
    assert round(runtimes.median_ms(calls.append, image, 3), 6) == 2.0
    assert len(calls) == 4 and calls[0] is image


def test_size_counts_every_file_of_a_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "deep" / "b").write_bytes(b"45")
    assert verification.size_bytes(tmp_path) == 5
    assert verification.size_bytes(tmp_path / "a") == 3


def test_a_file_is_measured_in_a_process_that_lacks_tensorflow(tmp_path):
    path = tmp_path / "m.tflite"
    formats.write(Source(stand_in.build(32), 32), path, "litert")
    cost = formats.cost(path, "litert", 32)
    assert 0 < cost.latency_ms < 1000
    if cost.memory_bytes is not None:  # TensorFlow alone takes 400 MB.
        assert 20e6 < cost.memory_bytes < 250e6
    path.write_bytes(b"nothing")
    with pytest.raises(RuntimeError, match="m.tflite does not run by itself: .+"):
        formats.cost(path, "litert", 32)


def measured(mean, sky):
    metrics = {"mean_iou": mean, "iou_per_class": {"ground": 0.9, "sky": sky}}
    return Measured("m", metrics, 1, Cost(1.0, None))


@pytest.mark.parametrize(
    ("mean", "sky", "expected"),
    [
        (0.80, 0.70, []),
        (0.7951, 0.6901, []),
        (0.79, 0.70, ["mean IoU from 0.8000 to 0.7900"]),
        (0.80, 0.68, ["IoU of sky from 0.7000 to 0.6800"]),
        (0.80, None, []),
    ],
)
def test_falls_of_the_mean_and_of_each_class_count(mean, sky, expected):
    found = verification.falls(
        measured(0.8, 0.7), measured(mean, sky), ["ground", "sky"]
    )
    assert len(found) == len(expected)
    assert all(text.startswith(e) for text, e in zip(found, expected, strict=True))
