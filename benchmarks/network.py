"""Times the network on each encoder: images/s, GFLOP/s, share of the machine's peak.

    python -m benchmarks.network --image_size=256,384 --precision=float32

The peak is measured, not read from a data sheet: the best rate of a large matrix
product in the same precision. Runs with TensorFlow, or where only JAX is installed
with KERAS_BACKEND=jax.
"""

import dataclasses
import itertools
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks import backends, harness
from lunar_tfds import command_line, settings
from lunar_tfds.atomic_files import write_json
from lunar_tfds.palette import CLASS_NAMES
from lunar_tfds.settings import at_least, between, more_than, setting
from model.network.cost import block_costs
from model.network.losses import build_loss
from model.network.precision import POLICIES, policy
from model.network.unet import (
    ENCODERS,
    IMAGE_SIZE,
    NUM_BLOCKS,
    build_unet,
    freeze_encoder,
)


def _some_of(known: tuple) -> Callable[[tuple], str | None]:
    """Return the rule of a list of known names."""
    text = f"must be of {', '.join(known)}"
    return lambda values: None if values and set(values) <= set(known) else text


def _whole_numbers(values: tuple) -> str | None:
    """Return the rule of a list of sizes, unless it is kept."""
    sizes = [str(value) for value in values]  # The command line passes strings.
    kept = sizes and all(size.isdecimal() and int(size) for size in sizes)
    return None if kept else "must be whole numbers of at least 1"


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to measure."""

    encoder: tuple = setting(
        tuple(ENCODERS), "Encoders to compare.", _some_of(tuple(ENCODERS))
    )
    precision: tuple = setting(
        tuple(POLICIES), "Precisions to measure.", _some_of(tuple(POLICIES))
    )
    image_size: tuple = setting(
        (str(IMAGE_SIZE),), "Heights and widths, px.", _whole_numbers
    )
    batch_size: tuple = setting(
        ("2",), "Batch sizes; on a GPU 16 to 64.", _whole_numbers
    )
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
    rounds: int = setting(3, "Turns of each; medians count.", at_least(1))
    seconds: float = setting(1.0, "Least time of a turn, s.", more_than(0))
    json: str | None = setting(None, "File to write the measurements to.", is_path=True)

    def __post_init__(self):
        settings.check(self)


def run(config: Benchmark) -> dict[str, Any]:
    """Return the machine and `results`, a row per combination and encoder.

    Raises:
        ValueError: an encoder cannot take an image size.
    """
    results = []
    for precision, size, batch in itertools.product(
        config.precision, map(int, config.image_size), map(int, config.batch_size)
    ):
        results += measure(config, precision, size, batch)
    return {
        "device": backends.device_name(),
        "processor": harness.processor(),
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "results": results,
    }


def measure(
    config: Benchmark, precision: str, image_size: int, batch_size: int
) -> list[dict[str, Any]]:
    """Return the rates of a forward pass and of a training step, by encoder.

    The step is Keras's own `train_step` with AdamW and the loss `ce_dice`; in float16
    Keras scales the loss. All encoders and the matrix product take turns.

    Args:
        config: encoders, frozen blocks and times.
        precision: a key of `POLICIES`.
        image_size: height and width, px.
        batch_size: images in a batch.

    Returns:
        dict per encoder: what was measured, and for each of forward and step
        `*_images_per_s`, `*_ms` a batch, `*_gflops` achieved by the convolutions (see
        model.network.cost), `*_peak_share`, their share of the matrix product's rate,
        and `*_ratio`, images/s over those of the first encoder. `metric_share` is the
        time to count the confusion matrix of a batch over a step's; None under JAX.
    """
    matrix_size = config.matrix_size or (8192 if backends.has_gpu() else 2048)
    ways = {"matmul": _timed(_matrix_product(precision, matrix_size), config.seconds)}
    costs, frozen = {}, {}
    for encoder in config.encoder:
        frozen[encoder] = config.frozen_blocks
        if frozen[encoder] is None:
            frozen[encoder] = ENCODERS[encoder].FROZEN_BLOCKS
        with policy(precision):
            model = _compiled_model(encoder, image_size, frozen[encoder])
        costs[encoder] = block_costs(model)[-1]
        calls = _calls(model, (batch_size, image_size, image_size))
        for part, call in calls.items():
            ways[f"{encoder} {part}"] = _timed(call, config.seconds)
    taken = harness.alternate(ways, config.rounds)
    peak = 2 * matrix_size**3 / taken["matmul"] / 1e9
    rows: list[dict[str, Any]] = []
    for encoder, cost in costs.items():
        row = {
            "encoder": encoder,
            "precision": precision,
            "image_size": image_size,
            "batch_size": batch_size,
            "frozen_blocks": frozen[encoder],
            "matmul_gflops": peak,
        }
        for part, gflop in (
            ("forward", cost.forward_gflop),
            ("step", cost.step_gflop),
        ):
            seconds = taken[f"{encoder} {part}"]
            row[f"{part}_ms"] = seconds * 1e3
            row[f"{part}_images_per_s"] = batch_size / seconds
            row[f"{part}_gflops"] = gflop * batch_size / seconds
            row[f"{part}_peak_share"] = row[f"{part}_gflops"] / peak
            row[f"{part}_ratio"] = taken[f"{config.encoder[0]} {part}"] / seconds
        counting = taken.get(f"{encoder} scores")
        row["metric_share"] = counting and counting * 1e3 / row["step_ms"]
        rows.append(row)
    return rows


def format_table(report: dict[str, Any]) -> str:
    """Return the report as a text table."""
    lines = [
        f"{report['backend']} on {report['device']}; {report['processor']}",
        f"{'':<54}|{'forward':>10}{'':>9}{'':>7}|{'step':>10}{'':>9}{'':>7}|",
        f"{'encoder':<20}{'precision':<10}{'px':>5}{'batch':>6}{'frozen':>7}{'':>6}"
        + f"|{'images/s':>10}{'of peak':>9}{'ratio':>7}" * 2
        + f"|{'scores':>8}",
    ]
    for row in report["results"]:
        parts = [
            f"|{row[f'{part}_images_per_s']:>10.2f}{row[f'{part}_peak_share']:>9.1%}"
            f"{row[f'{part}_ratio']:>7.2f}"
            for part in ("forward", "step")
        ]
        share = row["metric_share"]
        lines.append(
            f"{row['encoder']:<20}{row['precision']:<10}{row['image_size']:>5}"
            f"{row['batch_size']:>6}{row['frozen_blocks']:>7}{'':>6}{''.join(parts)}|"
            + ("" if share is None else f"{share:>8.2%}")
        )
    peaks = {row["precision"]: row["matmul_gflops"] for row in report["results"]}
    lines += [f"peak of {name}: {peak:.0f} GFLOP/s" for name, peak in peaks.items()]
    return "\n".join(lines)


def _timed(call, seconds):
    """Return the function that measures one turn of a call."""
    return lambda: harness.seconds_per_call(call, backends.wait_for, seconds)


def _matrix_product(precision, size):
    """Return the function that multiplies two size x size matrices."""
    rng = np.random.default_rng(0)
    left, right = (
        ops.cast(rng.normal(size=(size, size)).astype("float32"), precision)
        for _ in range(2)
    )
    product = backends.compile_function(lambda a, b: ops.matmul(a, b))
    corner = backends.compile_function(lambda c: c[0, 0])
    return lambda: corner(product(left, right))


def _calls(model, shape):
    """Return the functions to time, by name: forward, step and, if had, scores."""
    rng = np.random.default_rng(0)
    image = ops.convert_to_tensor(rng.random((*shape, 3), np.float32))
    mask = ops.convert_to_tensor(
        rng.integers(0, len(CLASS_NAMES), shape).astype("int32")
    )
    forward = backends.compile_function(lambda x: model(x, training=False))
    calls = {
        "forward": lambda: ops.max(forward(image)),
        "step": backends.compile_train_step(model, image, mask),
    }
    if count := backends.compile_confusion_matrix():
        logits = forward(image)
        calls["scores"] = lambda: count(mask, logits)
    return calls


def _compiled_model(encoder, image_size, frozen_blocks):
    """Return the network with random weights, ready for `train_step`."""
    keras.utils.set_random_seed(0)
    model = build_unet(image_size=image_size, encoder_weights=None, encoder=encoder)
    freeze_encoder(model, frozen_blocks)
    # For a float16 model Keras wraps the optimizer in one that scales the loss.
    loss = build_loss("ce_dice", len(CLASS_NAMES))
    model.compile(keras.optimizers.AdamW(), loss, jit_compile=False)
    return model


def main(config: Benchmark) -> None:
    """Measure, print the table and write the JSON file asked for."""
    report = run(config)
    print(format_table(report))
    if config.json:
        write_json(config.json, report)


if __name__ == "__main__":
    sys.exit(command_line.run(Benchmark, main))
