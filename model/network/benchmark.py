"""Speed of the network: images/s, GFLOP/s, and its share of the machine's peak.

    python -m model.network.benchmark --batch_size=2 --json=benchmark.json

The peak is measured, not read from a data sheet: the best rate of a large matrix
product in the same precision. Runs with TensorFlow, or where only JAX is installed
with KERAS_BACKEND=jax.
"""

import json
import os
import pathlib
import platform
import time

import keras
import numpy as np
from absl import app, flags
from keras import ops

from model.network import benchmark_steps
from model.network.cost import block_costs
from model.network.losses import build_loss
from model.network.vgg16_unet import build_vgg16_unet, freeze_encoder

POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


def run(precisions, image_size, batch_sizes, frozen_blocks, matrix_size, seconds):
    """Returns the measurements, one dict per precision and batch size.

    Args:
        precisions: of 'float32', 'bfloat16', 'float16'.
        image_size: int, px.
        batch_sizes: ints.
        frozen_blocks: encoder blocks not trained, 0 to 5.
        matrix_size: rows and columns of the product that measures the peak.
        seconds: least time measured for each number.

    Returns:
        dict with the machine and `results`, the list of dicts that `measure` returns.
    """
    results = []
    for precision in precisions:
        peak = matmul_gflops(precision, matrix_size, seconds)
        for batch_size in batch_sizes:
            row = measure(precision, image_size, batch_size, frozen_blocks, seconds)
            for part in ("forward", "step"):
                row[f"{part}_peak_share"] = row[f"{part}_gflops"] / peak
            results.append({**row, "matmul_gflops": peak})
    return {
        "device": benchmark_steps.device_name(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "image_size": image_size,
        "frozen_blocks": frozen_blocks,
        "matrix_size": matrix_size,
        "results": results,
    }


def measure(precision, image_size, batch_size, frozen_blocks, seconds):
    """Returns the rates of a forward pass and of a training step.

    The step is Keras's own `train_step` with AdamW and the default loss; in float16
    Keras scales the loss.

    Returns:
        dict: precision, batch_size, and for each of forward and step
        `*_images_per_s`, `*_ms` a batch, and `*_gflops` achieved, counting the
        convolutions alone (see model.network.cost). `metric_share` is the time to count
        the confusion matrix of a batch over that of a step; None under JAX.
    """
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        model = _compiled_model(image_size, frozen_blocks)
    finally:
        keras.config.set_dtype_policy("float32")
    cost = block_costs(model)[-1]
    shape = (batch_size, image_size, image_size)
    rng = np.random.default_rng(0)
    image = ops.convert_to_tensor(rng.random((*shape, 3), np.float32))
    mask = ops.convert_to_tensor(rng.integers(0, 4, shape).astype("int32"))
    forward = benchmark_steps.compile_function(lambda x: model(x, training=False))
    step = benchmark_steps.compile_train_step(model, image, mask)
    row = {"precision": precision, "batch_size": batch_size}
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


def matmul_gflops(precision, size, seconds):
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


def seconds_per_call(call, seconds):
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


def format_table(report):
    """Returns the report as a text table."""
    lines = [
        f"vgg16_unet, {report['image_size']} px, blocks 1 to {report['frozen_blocks']} "
        f"frozen; {report['backend']} on {report['device']}, "
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


def _compiled_model(image_size, frozen_blocks):
    """Returns the network with random weights, ready for `train_step`."""
    model = build_vgg16_unet(
        image_size=image_size, encoder_weights=None, frozen_blocks=0
    )
    freeze_encoder(model, frozen_blocks)
    # For a float16 model Keras wraps the optimizer in one that scales the loss.
    model.compile(keras.optimizers.AdamW(1e-3), build_loss(), jit_compile=False)
    return model


def main(argv):
    """Measures, prints the table and writes the JSON file asked for."""
    del argv
    values = flags.FLAGS
    report = run(
        precisions=values.precision,
        image_size=values.image_size,
        batch_sizes=[int(size) for size in values.batch_size],
        frozen_blocks=values.frozen_blocks,
        matrix_size=values.matrix_size or (8192 if benchmark_steps.has_gpu() else 2048),
        seconds=values.seconds,
    )
    print(format_table(report))
    if values.json:
        pathlib.Path(values.json).write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    flags.DEFINE_list("precision", list(POLICIES), "Precisions to measure.")
    flags.DEFINE_integer("image_size", 512, "Height and width, px, multiple of 16.")
    flags.DEFINE_list("batch_size", ["2"], "Batch sizes; on a GPU 16 to 64.")
    flags.DEFINE_integer("frozen_blocks", 4, "Encoder blocks not trained.", 0, 5)
    flags.DEFINE_integer("matrix_size", None, "Of the product that measures the peak.")
    flags.DEFINE_float("seconds", 3.0, "Least time for each measurement, s.")
    flags.DEFINE_string("json", None, "File to write the measurements to.")
    app.run(main)
