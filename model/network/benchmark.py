"""Speed of the network: images/s, GFLOP/s, and its share of the machine's peak.

    python -m model.network.benchmark --batch_size=2 --json=benchmark.json

The peak is measured, not read from a data sheet: the best rate of a large matrix
product in the same precision. Runs with TensorFlow, or where only JAX is installed
with KERAS_BACKEND=jax.
"""

import dataclasses
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from lunar_tfds import command_line, settings
from lunar_tfds.atomic_files import write_json
from lunar_tfds.machine import num_cores
from lunar_tfds.palette import CLASS_NAMES
from lunar_tfds.settings import at_least, between, more_than, setting
from model.network import benchmark_steps
from model.network.cost import block_costs
from model.network.losses import build_loss
from model.network.precision import POLICIES, policy
from model.network.unet import (
    DEFAULT_ENCODER,
    ENCODERS,
    IMAGE_SIZE,
    NUM_BLOCKS,
    build_unet,
    freeze_encoder,
    is_network_size,
)


def _precisions(values: tuple) -> str | None:
    """Returns what the rule of --precision is, unless it is kept."""
    return None if set(values) <= set(POLICIES) else f"must be of {', '.join(POLICIES)}"


def _batch_sizes(values: tuple) -> str | None:
    """Returns what the rule of --batch_size is, unless it is kept."""
    sizes = map(str, values)  # As the command line has them.
    kept = all(size.isdecimal() and int(size) for size in sizes)
    return None if kept else "must be whole numbers of at least 1"


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """What to measure."""

    precision: tuple = setting(tuple(POLICIES), "Precisions to measure.", _precisions)
    image_size: int = setting(IMAGE_SIZE, "Height and width, px.", is_network_size)
    batch_size: tuple = setting(("2",), "Batch sizes; on a GPU 16 to 64.", _batch_sizes)
    encoder: str = setting(DEFAULT_ENCODER, "Encoder.", choices=tuple(ENCODERS))
    frozen_blocks: int | None = setting(
        None,
        "Encoder blocks not trained; 4 of vgg16, 0 of efficientnet_lite0.",
        between(0, NUM_BLOCKS),
    )
    matrix_size: int | None = setting(
        None,
        "Rows of the product that measures the peak; 8192 on a GPU, else 2048.",
        at_least(1),
    )
    seconds: float = setting(3.0, "Least time for each measurement, s.", more_than(0))
    json: str | None = setting(None, "File to write the measurements to.", is_path=True)

    def __post_init__(self):
        settings.check(self)


def run(config: BenchmarkConfig) -> dict[str, Any]:
    """Returns the measurements, one row per precision and batch size.

    Returns:
        dict with the machine and `results`, the list of dicts that `measure` returns.
    """
    image_size, frozen_blocks = config.image_size, config.frozen_blocks
    if frozen_blocks is None:
        frozen_blocks = ENCODERS[config.encoder].FROZEN_BLOCKS
    matrix_size = config.matrix_size or (8192 if benchmark_steps.has_gpu() else 2048)
    results = []
    for precision in config.precision:
        peak = matmul_gflops(precision, matrix_size, config.seconds)
        for batch_size in map(int, config.batch_size):
            row = measure(
                *(config.encoder, precision, image_size, batch_size),
                *(frozen_blocks, config.seconds),
            )
            for part in ("forward", "step"):
                row[f"{part}_peak_share"] = row[f"{part}_gflops"] / peak
            results.append({**row, "matmul_gflops": peak})
    return {
        "device": benchmark_steps.device_name(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": num_cores(),
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "image_size": image_size,
        "encoder": config.encoder,
        "frozen_blocks": frozen_blocks,
        "matrix_size": matrix_size,
        "results": results,
    }


def measure(
    encoder: str,
    precision: str,
    image_size: int,
    batch_size: int,
    frozen_blocks: int,
    seconds: float,
) -> dict[str, Any]:
    """Returns the rates of a forward pass and of a training step.

    The step is Keras's own `train_step` with AdamW and the loss `ce_dice`; in float16
    Keras scales the loss.

    Args:
        encoder: a name in `unet.ENCODERS`.
        precision: a key of `POLICIES`.
        image_size: height and width, px.
        batch_size: images in a batch.
        frozen_blocks: encoder blocks not trained.
        seconds: least time measured for each number.

    Returns:
        dict: precision, batch_size, and for each of forward and step
        `*_images_per_s`, `*_ms` a batch, and `*_gflops` achieved, counting the
        convolutions alone (see model.network.cost). `metric_share` is the time to count
        the confusion matrix of a batch over that of a step; None under JAX.
    """
    keras.utils.set_random_seed(0)
    with policy(precision):
        model = _compiled_model(encoder, image_size, frozen_blocks)
    cost = block_costs(model)[-1]
    shape = (batch_size, image_size, image_size)
    rng = np.random.default_rng(0)
    image = ops.convert_to_tensor(rng.random((*shape, 3), np.float32))
    mask = ops.convert_to_tensor(
        rng.integers(0, len(CLASS_NAMES), shape).astype("int32")
    )
    forward = benchmark_steps.compile_function(lambda x: model(x, training=False))
    step = benchmark_steps.compile_train_step(model, image, mask)
    row: dict[str, Any] = {"precision": precision, "batch_size": batch_size}
    for part, call, gflop in (
        ("forward", lambda: ops.max(forward(image)), cost.forward_gflop),
        ("step", step, cost.step_gflop),
    ):
        duration = seconds_per_call(call, seconds)
        row[f"{part}_ms"] = duration * 1e3
        row[f"{part}_images_per_s"] = batch_size / duration
        row[f"{part}_gflops"] = gflop * batch_size / duration
    count = benchmark_steps.compile_confusion_matrix()
    row["metric_share"] = None
    if count is not None:
        logits = forward(image)
        duration = seconds_per_call(lambda: count(mask, logits), seconds)
        row["metric_share"] = duration * 1e3 / row["step_ms"]
    return row


def matmul_gflops(precision: str, size: int, seconds: float) -> float:
    """Returns the best measured rate of a size x size matrix product, GFLOP/s."""
    rng = np.random.default_rng(0)
    left, right = (
        ops.cast(rng.normal(size=(size, size)).astype("float32"), precision)
        for _ in range(2)
    )
    product = benchmark_steps.compile_function(lambda a, b: ops.matmul(a, b))
    corner = benchmark_steps.compile_function(lambda c: c[0, 0])
    best = min(
        seconds_per_call(lambda: corner(product(left, right)), seconds / 3)
        for _ in range(3)
    )
    return 2 * size**3 / best / 1e9


def seconds_per_call(call: Callable[[], Any], seconds: float) -> float:
    """Returns the mean time of a call, after two to compile and warm up.

    Calls are queued and only the last result is waited for, so that a GPU does not
    idle between them; their number doubles until they take `seconds`.

    Args:
        call: function without arguments that returns a tensor.
        seconds: least time to measure.
    """
    for _ in range(2):
        benchmark_steps.wait_for(call())
    count = 1
    while True:
        start = time.perf_counter()
        for _ in range(count):
            result = call()
        benchmark_steps.wait_for(result)
        duration = time.perf_counter() - start
        if duration >= seconds:
            return duration / count
        count *= 2


def format_table(report: dict[str, Any]) -> str:
    """Returns the report as a text table."""
    lines = [
        f"{report['encoder']}, {report['image_size']} px, blocks 1 to "
        f"{report['frozen_blocks']} frozen; {report['backend']} on {report['device']}, "
        f"{report['cpu_count']} CPU cores",
        f"{'':<10}{'':>6}{'matmul':>10}|{'forward':>10}{'':>10}{'':>8}"
        f"|{'step':>10}{'':>10}{'':>8}|{'metric':>8}",
        f"{'precision':<10}{'batch':>6}{'GFLOP/s':>10}"
        + f"|{'images/s':>10}{'GFLOP/s':>10}{'of peak':>8}" * 2
        + f"|{'of step':>8}",
    ]
    for row in report["results"]:
        parts = [
            f"|{row[f'{part}_images_per_s']:>10.2f}{row[f'{part}_gflops']:>10.0f}"
            f"{row[f'{part}_peak_share']:>8.1%}"
            for part in ("forward", "step")
        ]
        head = f"{row['precision']:<10}{row['batch_size']:>6}"
        share = row["metric_share"]
        parts.append("|" if share is None else f"|{share:>8.2%}")
        lines.append(f"{head}{row['matmul_gflops']:>10.0f}{''.join(parts)}")
    return "\n".join(lines)


def _compiled_model(encoder, image_size, frozen_blocks):
    """Returns the network with random weights, ready for `train_step`."""
    model = build_unet(image_size=image_size, encoder_weights=None, encoder=encoder)
    freeze_encoder(model, frozen_blocks)
    # For a float16 model Keras wraps the optimizer in one that scales the loss.
    loss = build_loss("ce_dice", len(CLASS_NAMES))
    model.compile(keras.optimizers.AdamW(), loss, jit_compile=False)
    return model


def main(config: BenchmarkConfig) -> None:
    """Measures, prints the table and writes the JSON file asked for."""
    report = run(config)
    print(format_table(report))
    if config.json:
        write_json(config.json, report)


if __name__ == "__main__":
    sys.exit(command_line.run(BenchmarkConfig, main))
