import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import psutil
import pytest

from benchmarks import backends, harness, network
from benchmarks import training as loop_benchmark
from lunar_tfds import command_line
from model.network import cost
from model.network.losses import build_loss
from model.network.precision import POLICIES, policy
from model.network.unet import ENCODERS, build_unet
from tests.support.narrow import make_narrow

ENVIRONMENT = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}

COMPILE_QUICKLY = "--xla_backend_optimization_level=0"

# Hides TensorFlow, as where it is not installed.
NO_TENSORFLOW = """
import sys
class Hide:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *arguments):
        if name.split(".")[0] != "tensorflow":
            return self.finder.find_spec(name, *arguments)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = map(Hide, sys.meta_path)
"""

NETWORK_UNDER_JAX = """
import sys
import keras, numpy as np
from lunar_tfds import command_line
from benchmarks import network
from model.network import cost, losses, unet  # All import.
assert keras.backend.backend() == "jax"
path, image_path, logits_path = sys.argv[1:]
loaded = keras.models.load_model(path)
image, expected = np.load(image_path), np.load(logits_path)
logits = loaded.predict(image, verbose=0)
np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
mask = np.zeros((1, 32, 32), "int32")
unet.freeze_encoder(loaded, 4)
loaded.compile("sgd", losses.build_loss("ce_dice", 4, class_weights=(1, 1, 2, 2)))
assert np.isfinite(loaded.train_on_batch(image, mask))
assert cost.block_costs(loaded)[-1].forward_gflop > 0
assert command_line.parse(cost.CostConfig, ["x", "--image_size=32"]).image_size == 32
try:
    unet.synchronize_batch_norm(loaded)
except ValueError as error:
    assert "TensorFlow backend" in str(error)
else:
    raise AssertionError("synchronized under JAX")
assert "tensorflow" not in sys.modules
"""

BENCHMARK_UNDER_JAX = """
from lunar_tfds import command_line
from benchmarks import network
sys.exit(command_line.run(network.Benchmark, network.main))
"""

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="pip install jax to run this"
)


@pytest.fixture
def narrow(monkeypatch):
    make_narrow(monkeypatch)


def run_under_jax(program, *arguments):
    subprocess.run(
        [sys.executable, "-c", NO_TENSORFLOW + program, *map(str, arguments)],
        check=True,
        env={**ENVIRONMENT, "KERAS_BACKEND": "jax", "XLA_FLAGS": COMPILE_QUICKLY},
    )


@needs_jax
def test_network_and_losses_run_on_jax_without_tensorflow(tmp_path, narrow):
    keras.utils.set_random_seed(0)
    model = build_unet(
        image_size=32,
        encoder_weights=None,
        frozen_blocks=0,
        decoder_filters=(8, 8, 8, 8),
        synchronized_batch_norm=True,
    )
    model.save(tmp_path / "model.keras")
    image = np.random.default_rng(0).random((1, 32, 32, 3), "float32")
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "logits.npy", model(image))
    files = [tmp_path / name for name in ("model.keras", "image.npy", "logits.npy")]
    run_under_jax(NETWORK_UNDER_JAX, *files)


@needs_jax
@pytest.mark.slow
def test_benchmark_runs_on_jax_without_tensorflow(tmp_path):
    path = tmp_path / "benchmark.json"
    flags = "--precision=float32,float16 --image_size=32 --batch_size=1 --seconds=0.01"
    flags += " --matrix_size=64 --rounds=1"
    run_under_jax(BENCHMARK_UNDER_JAX, *flags.split(), f"--json={path}")
    report = json.loads(path.read_text())
    assert report["backend"] == "jax"
    rows = [(row["precision"], row["frozen_blocks"]) for row in report["results"]]
    assert rows == [(p, f) for p in ("float32", "float16") for f in (4, 0)]
    for row in report["results"]:
        assert row["step_gflops"] > 0 and row["metric_share"] is None


def run_benchmark(*flags):
    return command_line.run(network.Benchmark, network.main, ["benchmark", *flags])


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--precision=float8", "must be of float32, bfloat16, float16"),
        ("--batch_size=2,0", "must be whole numbers of at least 1"),
        ("--batch_size=2.5", "must be whole numbers of at least 1"),
        ("--image_size=0", "must be whole numbers of at least 1"),
        ("--image_size=30", "multiple of 16"),
        ("--image_size=48", "multiple of 32"),
        ("--encoder=resnet", "must be of vgg16, efficientnet_lite0"),
        ("--frozen_blocks=6", "must be 0 to 5"),
    ],
)
def test_wrong_settings_are_one_line(flag, message, caplog):
    assert run_benchmark(flag, "--matrix_size=8", "--seconds=0.001") == 1
    assert message in caplog.messages[-1]


def test_command_reports_each_precision_as_table_and_json(
    tmp_path, narrow, capsys, monkeypatch
):
    # As under `taskset` or in a container: fewer cores than the machine has.
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda _: [0], raising=False)
    path = tmp_path / "benchmark.json"
    flags = "--image_size=32 --batch_size=1 --matrix_size=128 --seconds=0.01 --rounds=1"
    assert run_benchmark(*flags.split(), f"--json={path}") == 0
    report = json.loads(path.read_text())
    assert report["processor"].endswith(", 1 cores")
    rows = report["results"]
    kinds = [(row["precision"], row["encoder"]) for row in rows]
    assert kinds == [(p, e) for p in POLICIES for e in ENCODERS]
    lines = capsys.readouterr().out.splitlines()[3:]
    for row, line in zip(rows, lines[: len(rows)], strict=True):
        assert line.split()[:2] == [row["encoder"], row["precision"]]
        assert row["metric_share"] > 0
        for part in ("forward", "step"):
            share = row[f"{part}_gflops"] / row["matmul_gflops"]
            assert row[f"{part}_peak_share"] == pytest.approx(share)
            rate = row["batch_size"] / row[f"{part}_ms"] * 1e3
            assert row[f"{part}_images_per_s"] == pytest.approx(rate)


def test_the_loop_benchmark_times_bare_steps_and_those_of_the_loop(narrow):
    bare, loop = loop_benchmark.measure(32, batch_size=2, turns=1, steps=2)
    assert 0 < bare < 60 and 0 < loop < 60


def test_time_per_call_grows_the_count_until_the_time_is_long_enough():
    calls = []

    def call():
        calls.append(1)
        return keras.ops.ones(())

    duration = harness.seconds_per_call(call, float, 0.02)
    assert len(calls) > 3 and 0 < duration < 0.02


def test_ways_alternate_and_the_first_round_is_not_counted():
    turns, figures = [], {"a": [99.0, 1.0, 5.0, 2.0], "b": [99.0, 4.0, 4.0, 8.0]}

    def way(name):
        def run():
            turns.append(name)
            return figures[name].pop(0)

        return run

    taken = harness.alternate({name: way(name) for name in "ab"}, rounds=3)
    assert taken == {"a": 2.0, "b": 4.0}
    assert turns == ["a", "b"] * 4


def test_the_processor_is_named_with_its_vector_units(tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    file.write_text("model name\t: Some CPU\nflags\t\t: fpu avx2 avx512f\n\n")
    monkeypatch.setattr(harness, "_PROCESSORS", file)
    assert harness.processor().startswith("Some CPU, avx2 avx512f, ")
    monkeypatch.setattr(harness, "_PROCESSORS", tmp_path / "missing")
    assert "vector units unknown" in harness.processor()


def test_gflops_are_the_counted_ones_over_the_measured_time(monkeypatch, narrow):
    monkeypatch.setattr(harness, "seconds_per_call", lambda *_: 0.5)
    config = network.Benchmark(encoder=("vgg16",), matrix_size=10)
    (row,) = network.measure(config, "float32", 32, 3)
    assert row["matmul_gflops"] == pytest.approx(2 * 10**3 / 0.5 / 1e9)
    model = build_unet(image_size=32, encoder_weights=None, frozen_blocks=0)
    forward = cost.block_costs(model)[-1].forward_gflop
    assert row["forward_gflops"] == pytest.approx(forward * 3 / 0.5)
    assert row["forward_images_per_s"] == pytest.approx(6.0)
    assert forward < row["step_gflops"] * 0.5 / 3 < 3 * forward


@pytest.mark.parametrize("precision", POLICIES)
def test_a_few_steps_learn_in_every_precision_with_float16_loss_scaling(
    precision, narrow
):
    keras.utils.set_random_seed(0)
    with policy(precision):
        model = build_unet(image_size=32, encoder_weights=None, frozen_blocks=0)
    model.compile(keras.optimizers.Adam(1e-3), build_loss("ce_dice", 4))
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (precision == "float16")
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    image = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    mask = (image[..., 0] > 0.5).astype("int32")
    step = backends.compile_train_step(
        model, keras.ops.convert_to_tensor(image), keras.ops.convert_to_tensor(mask)
    )
    values = [float(backends.wait_for(step())) for _ in range(12)]
    assert np.isfinite(values).all()
    assert values[-1] < values[0]
    assert all(np.isfinite(v).all() for v in map(np.array, model.trainable_variables))
