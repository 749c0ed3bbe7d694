import itertools
import os
import subprocess
import sys

import numpy as np

from model.export import verification

# A second CPU device stands for a GPU: the network's weights lie there.
ON_ANOTHER_DEVICE = """
import sys
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2)
from model.export import formats, verification
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
    formats.FORMATS["saved_model"].write(model, 16, path, ())
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
    monkeypatch.setattr(verification, "TIMED_RUNS", 3)
    monkeypatch.setattr(verification.time, "perf_counter", lambda: next(clock))
    calls = []
    image = np.zeros((1, 2, 2, 3), np.uint8)
    assert round(verification.latency_ms(calls.append, image), 6) == 2.0
    assert len(calls) == 4 and calls[0] is image


def test_size_counts_every_file_of_a_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "deep" / "b").write_bytes(b"45")
    assert verification.size_bytes(tmp_path) == 5
    assert verification.size_bytes(tmp_path / "a") == 3
