"""Measures what the training loop adds to the bare compiled step.

    python -m benchmarks.training [--image_size=256] [--global_batch_size=4]

The bare step is one compiled function, called in a plain `for` loop on a batch in
memory: forward, backward, clipping, AdamW. The loop is `Trainer.fit` on the same model
and batch, with its confusion counts, checks, callbacks and progress bar.
"""

import dataclasses
import io
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import harness
from lunar_tfds import command_line
from lunar_tfds.palette import CLASS_NAMES
from lunar_tfds.settings import at_least, check, setting
from model.network import vgg16
from model.network.losses import build_loss
from model.network.unet import build_unet, freeze_encoder, is_network_size
from model.training.callbacks import ProgressBar
from model.training.config import TrainConfig
from model.training.optimizers import build_optimizer
from model.training.trainer import Trainer


def bare_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, loss: Any
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the compiled step that everything is compared with."""

    @tf.function
    def step(image, mask):
        with tf.GradientTape() as tape:
            logits = model(image, training=True)
            value = tf.reduce_mean(loss.per_example(mask, logits))
        variables = model.trainable_variables
        gradients = tape.gradient(value, [v.value for v in variables])
        gradients, _ = tf.clip_by_global_norm(gradients, TrainConfig.clip_norm)
        optimizer.apply(gradients, variables)
        return value

    return step


class _StepTimes(keras.callbacks.Callback):
    """Note the time between the ends of steps; first in the list of callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        self._last: float | None = None

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self._last is not None:
            self.seconds.append(now - self._last)
        self._last = now


def build(
    image_size: int, batch_size: int, frozen_blocks: int
) -> tuple[Trainer, tf.Tensor, tf.Tensor]:
    """Return a `Trainer` of the real network on one device, and a batch."""
    strategy = tf.distribute.OneDeviceStrategy(
        "/gpu:0" if tf.config.list_physical_devices("GPU") else "/cpu:0"
    )
    with strategy.scope():
        model = build_unet(image_size=image_size, encoder_weights=None, frozen_blocks=0)
        freeze_encoder(model, frozen_blocks)  # Its random filters do for timing.
        optimizer = build_optimizer(
            learning_rate=TrainConfig.learning_rate,
            weight_decay=TrainConfig.weight_decay,
            total_steps=1000,
        )
        optimizer.build(model.trainable_variables)
    trainer = Trainer(
        model,
        optimizer,
        build_loss(TrainConfig.loss, len(CLASS_NAMES)),
        strategy=strategy,
        class_names=CLASS_NAMES,
        global_batch_size=batch_size,
        clip_norm=TrainConfig.clip_norm,
    )
    rng = np.random.default_rng(0)
    image = tf.constant(rng.random([batch_size, image_size, image_size, 3], np.float32))
    mask = tf.constant(rng.integers(0, len(CLASS_NAMES), image.shape[:3], np.int32))
    return trainer, image, mask


def measure(
    image_size: int = 256,
    batch_size: int = 4,
    frozen_blocks: int = vgg16.FROZEN_BLOCKS,
    turns: int = 5,
    steps: int = 3,
) -> tuple[float, float]:
    """Return the median seconds of a bare step and of a step of the loop."""
    trainer, image, mask = build(image_size, batch_size, frozen_blocks)
    step = bare_step(trainer.model, trainer.optimizer, trainer.loss)
    batches = tf.data.Dataset.from_tensors((image, mask)).cache().repeat().prefetch(2)
    weights = tf.ones([batch_size])
    evaluation = trainer.strategy.experimental_distribute_dataset(
        tf.data.Dataset.from_tensors((image, mask, weights))
    )
    training = trainer.strategy.experimental_distribute_dataset(batches)
    times = _StepTimes()
    bar = ProgressBar(batch_size, TrainConfig.monitor, file=io.StringIO())

    def bare_seconds():
        calls = (lambda: step(image, mask).numpy() for _ in range(steps))
        return statistics.median(map(harness.wall_seconds, calls))

    def loop_seconds():
        times.seconds.clear()
        trainer.progress.epoch = trainer.progress.step = 0
        trainer.fit(
            lambda epoch, step: training,
            evaluation,
            epochs=1,
            steps_per_epoch=steps + 1,
            evaluation_steps=0,
            callbacks=[times, bar],
        )
        return statistics.median(times.seconds)

    taken = harness.alternate({"bare": bare_seconds, "loop": loop_seconds}, turns)
    return taken["bare"], taken["loop"]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Settings of the benchmark."""

    image_size: int = setting(256, "Side of the input, px.", is_network_size)
    global_batch_size: int = setting(4, "Examples of a step.", at_least(1))

    def __post_init__(self):
        check(self)


def main(settings: Benchmark) -> None:
    """Print the table."""
    image_size, batch_size = settings.image_size, settings.global_batch_size
    bare, loop = measure(image_size, batch_size)
    print(
        f"{image_size} px, batch {batch_size}, {vgg16.FROZEN_BLOCKS} blocks frozen, "
        "median of steps"
    )
    print(harness.processor())
    print(f"{'':14}{'ms a step':>10}{'ratio':>8}")
    print(f"{'bare step':14}{bare * 1e3:10.1f}{1:8.3f}")
    print(f"{'training loop':14}{loop * 1e3:10.1f}{loop / bare:8.3f}")


if __name__ == "__main__":
    sys.exit(command_line.run(Benchmark, main))
