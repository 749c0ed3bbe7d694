"""A run of the whole training stack on a small network and drawn arrays.

In a process of its own it takes JSON arguments, one for each run, see `DEFAULTS`:
tests use it for several devices or workers, and to kill it.
"""

import contextlib
import json
import os
import socket
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from lunar_tfds.atomic_files import remove_temporary_files
from model.network.checkpoints import CHECKPOINT_FOLDER
from model.network.losses import build_loss
from model.network.unet import build_unet
from model.training import run_state, strategies
from model.training.averaged_weights import AveragedWeights
from model.training.callbacks import HistoryFile
from model.training.checkpoints import BestCheckpoint
from model.training.optimizers import build_optimizer
from model.training.preemption import EXIT_STARTS_AGAIN, StopRequest
from model.training.trainer import Interrupted, Trainer

CLASS_NAMES = ("ground", "sky", "small_rock", "large_rock")
SIZE, EXAMPLES, BATCH = 16, 24, 8
STEPS = EXAMPLES // BATCH
# Side of the images that `vgg16_unet` takes, px.
REAL_SIZE = 32
DEFAULTS = {
    "workdir": None,
    "network": "small",
    "strategy": "one_device",
    "replicas": 1,
    "epochs": 1,
    "precision": "float32",
    "steps_per_call": 1,
    "xla": False,
    "ema": 0.0,
    "save_minutes": 0.0,
    "sleep": 0.0,
    "weights": None,
}
DETAILS = {"image_size": SIZE, "mask": "ground", "class_names": list(CLASS_NAMES)}
DETAILS["run"] = "small"


def arrays(size=SIZE):
    rng = np.random.default_rng(0)
    images = rng.random([EXAMPLES, size, size, 3], np.float32)
    masks = (images.mean(-1) * 8 - 2).clip(0, 3).astype(np.int32)
    return images, masks


def network(synchronized=False):
    image = keras.Input([SIZE, SIZE, 3])
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = keras.layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(synchronized=synchronized, momentum=0.9)(x)
    x = keras.layers.LeakyReLU()(x)
    return keras.Model(image, keras.layers.Conv2D(4, 1, dtype="float32")(x))


def real_arrays():
    return arrays(REAL_SIZE)


def vgg16_unet(synchronized=False):
    """The project's own network, every block trained, on images of `REAL_SIZE`."""
    return build_unet(
        image_size=REAL_SIZE,
        encoder_weights=None,
        frozen_blocks=0,
        synchronized_batch_norm=synchronized,
    )


class Float64Arithmetic(keras.DTypePolicy):
    """Computes in float64 on variables of float32."""

    compute_dtype = "float64"


def vgg16_unet_in_float64(synchronized=False):
    """The same with float64 arithmetic, which rounding does not lead astray."""
    model = vgg16_unet(synchronized)
    for layer in model.layers:
        layer.dtype_policy = Float64Arithmetic("float32")
    return model


def training_data(strategy, batches=arrays):
    """Returns the function of (epoch, step) that `Trainer.fit` takes."""
    images, masks = batches()

    def start_at(epoch, step):
        def pipeline(context):
            size = BATCH // context.num_replicas_in_sync
            share = BATCH // context.num_input_pipelines
            own = context.input_pipeline_id * share + np.arange(share)
            steps = np.arange(epoch * STEPS + step, 1000)
            order = (steps[:, None] * BATCH + own).reshape(-1) % EXAMPLES
            dataset = tf.data.Dataset.from_tensor_slices(order)
            data = tf.constant(images), tf.constant(masks)
            dataset = dataset.map(lambda i: (data[0][i], data[1][i]))
            return dataset.batch(size, drop_remainder=True)

        return strategy.distribute_datasets_from_function(pipeline)

    return start_at


def evaluation_data(strategy, batches=arrays):
    """20 examples: the last of three batches is padded with weight 0."""
    images, masks = batches()
    weights = (np.arange(EXAMPLES) < 20).astype(np.float32)

    def pipeline(context):
        size = BATCH // context.num_replicas_in_sync
        share = BATCH // context.num_input_pipelines
        own = context.input_pipeline_id * share + np.arange(share)
        order = (np.arange(STEPS)[:, None] * BATCH + own).reshape(-1)
        parts = images[order], masks[order], weights[order]
        dataset = tf.data.Dataset.from_tensor_slices(parts)
        return dataset.batch(size, drop_remainder=True)

    return strategy.distribute_datasets_from_function(pipeline)


def make_trainer(
    strategy=None,
    *,
    build=network,
    epochs=1,
    precision="float32",
    ema=0.0,
    clip_norm=1.0,
    **settings,
):
    strategy = strategy or tf.distribute.OneDeviceStrategy("/cpu:0")
    keras.utils.set_random_seed(1)
    policy = {"float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}.get(precision)
    keras.mixed_precision.set_dtype_policy(policy or "float32")
    with strategy.scope():
        model = build(synchronized=strategy.num_replicas_in_sync > 1)
        optimizer = build_optimizer(
            total_steps=epochs * STEPS,
            learning_rate=1e-3,
            weight_decay=1e-3,
            float16=precision == "float16",
            encoder_variables=model.trainable_variables[:2],
            encoder_rate_scale=0.5,
        )
        optimizer.build(model.trainable_variables)
        averaged = AveragedWeights(model.trainable_variables, ema) if ema else None
    keras.mixed_precision.set_dtype_policy("float32")
    return Trainer(
        model,
        optimizer,
        build_loss("ce_dice", 4),
        strategy=strategy,
        class_names=CLASS_NAMES,
        global_batch_size=BATCH,
        clip_norm=clip_norm,
        averaged_weights=averaged,
        **settings,
    )


def fit(trainer, epochs=1, data=None, batches=arrays, **settings):
    return trainer.fit(
        data or training_data(trainer.strategy, batches),
        evaluation_data(trainer.strategy, batches),
        epochs=epochs,
        steps_per_epoch=STEPS,
        evaluation_steps=STEPS,
        **settings,
    )


def two_workers():
    """Returns the TF_CONFIG of each of two workers on this machine."""
    ports = []
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            server = stack.enter_context(socket.socket())
            server.bind(("localhost", 0))
            ports.append(server.getsockname()[1])
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    return [
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(2)
    ]


class _Sleep(keras.callbacks.Callback):
    """Makes room for a kill."""

    def __init__(self, seconds):
        super().__init__()
        self._seconds = seconds

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(self._seconds)


class Scored(keras.callbacks.Callback):
    """Keeps the weights that were scored last, which a checkpoint would hold."""

    def on_epoch_end(self, epoch, logs=None):
        self.weights = self.model.get_weights()


def arrays_of(trainer, scored):
    """Returns what runs are compared by: trained and scored weights, and scores."""
    named = {f"trained_{i}": v.numpy() for i, v in enumerate(trainer.model.variables)}
    named |= {f"scored_{i}": value for i, value in enumerate(scored.weights)}
    rows = trainer.progress.history
    return named | {"mean_iou": np.array([row["val_mean_iou"] for row in rows])}


def main(*runs):
    """Makes one run after the other under the strategy of the first."""
    tf.config.experimental.enable_op_determinism()
    first = DEFAULTS | runs[0]
    strategy = strategies.build_strategy(
        first["strategy"],
        virtual_devices=first["replicas"] * (first["strategy"] == "mirrored"),
    )
    for settings in runs:
        if status := run(strategy, DEFAULTS | settings):
            return status
    return 0


def run(strategy, settings):
    chief = strategies.is_chief(strategy)
    names = ("epochs", "precision", "ema", "steps_per_call", "xla")
    real = settings["network"] == "vgg16_unet"
    trainer = make_trainer(
        strategy,
        build=vgg16_unet_in_float64 if real else network,
        **{name: settings[name] for name in names},
    )
    workdir, scored = settings["workdir"], Scored()
    callbacks = [_Sleep(settings["sleep"]), scored]
    progress = run_state.load_state(workdir, trainer.variables) if workdir else None
    trainer.progress = progress or trainer.progress
    trainer.check_workers_agree()
    if workdir and chief:
        for folder in (workdir, os.path.join(workdir, CHECKPOINT_FOLDER)):
            remove_temporary_files(folder)
        callbacks.append(HistoryFile(workdir, trainer.progress.history))
        callbacks.append(
            BestCheckpoint(workdir, DETAILS, monitor="val_mean_iou", keep=2)
        )
    saver = run_state.Saver(
        workdir, trainer, settings["save_minutes"], chief and workdir is not None
    )
    with StopRequest() as stop_request:
        try:
            fit(
                trainer,
                settings["epochs"],
                batches=real_arrays if real else arrays,
                callbacks=callbacks,
                save_state=saver.save,
                wants_state=saver.is_due,
                wants_stop=stop_request,
            )
        except Interrupted:
            return EXIT_STARTS_AGAIN
        except strategies.LOST_WORKER_ERRORS:
            os._exit(EXIT_STARTS_AGAIN)
    if settings["weights"]:
        index = os.environ.get("TF_CONFIG") and json.loads(os.environ["TF_CONFIG"])
        suffix = str(index["task"]["index"]) if index else ""
        np.savez(settings["weights"] + suffix, **arrays_of(trainer, scored))
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(json.loads, sys.argv[1:])))
