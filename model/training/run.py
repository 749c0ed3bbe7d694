"""A training run, from its settings to its best checkpoint.

In Python `train_and_evaluate(TrainConfig(image_size=256, epochs=20))` is what
`python train.py --image_size=256 --epochs=20` does.
"""

import contextlib
import dataclasses
import math
import pathlib

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from lunar_tfds.atomic_files import remove_temporary_files
from lunar_tfds.kaggle_layout import mask_name
from lunar_tfds.lunar_rocks.frame_files import TRAIN
from lunar_tfds.ownership import owned
from lunar_tfds.palette import CLASS_NAMES
from model.network import losses
from model.network.checkpoints import CHECKPOINT_FOLDER, best_checkpoint
from model.network.precision import policy, warn_if_emulated
from model.network.unet import build_unet, freeze_encoder
from model.training import run_config, run_state, strategies
from model.training.averaged_weights import AveragedWeights
from model.training.callbacks import HistoryFile, ProgressBar
from model.training.checkpoints import BestCheckpoint, keep_best
from model.training.config import TrainConfig
from model.training.curves import check_packages, draw_curves
from model.training.data import Data
from model.training.first_weights import load_initial_checkpoint
from model.training.optimizers import build_optimizer
from model.training.preemption import StopRequest
from model.training.tensorboard import EventFiles
from model.training.trainer import Interrupted, Trainer
from model.training.unfreezing import UnfreezeEncoder, later_variables
from pipeline import batching

__all__ = ["TrainConfig", "TrainResult", "train_and_evaluate"]


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a run has come to.

    Attributes:
        history: a dict of losses and scores for each finished epoch.
        checkpoint: the best one so far, or None where no epoch has a score.
        is_finished: False after a request to stop; the same call then continues.
    """

    history: list
    checkpoint: pathlib.Path | None
    is_finished: bool


def train_and_evaluate(config: TrainConfig) -> TrainResult:
    """Trains, scores each epoch and keeps the best checkpoints, in `config.workdir`.

    A run that was stopped in any way goes on from its saved state. SIGTERM and Ctrl-C
    save the state and stop.

    Args:
        config: the run's settings.

    Raises:
        ValueError: the dataset, the workdir or the devices do not allow the run, or
            another process trains in the workdir.
        OSError: a file cannot be written.
        FloatingPointError: a loss, gradient or weight is not finite.
    """
    check_packages()
    with contextlib.ExitStack() as stack:
        if strategies.will_be_chief(config.strategy):  # The only one that writes.
            stack.enter_context(owned(config.workdir, "--workdir", inside=True))
        return _prepare_and_train(config)


def _prepare_and_train(config):
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = strategies.build_strategy(
        config.strategy, tpu=config.tpu, virtual_devices=config.virtual_devices
    )
    strategies.per_replica_batch_size(config.global_batch_size, strategy)
    if config.xla:
        strategies.check_xla(strategy)
    if _is_on_cpu(config):
        warn_if_emulated(config.precision)
    builder = batching.open_dataset(config.data_dir)
    with policy(config.precision):
        return _train(config, strategy, builder)


def _train(config, strategy, builder):
    chief = strategies.is_chief(strategy)
    described = run_config.run_config(config, builder)
    earlier_epochs = run_config.check_config(config.workdir, described)
    described["run"] = run_config.run_name(config.workdir)
    if ended := _ended(config, earlier_epochs):
        return _finish(config, ended.history, described, chief)
    data = Data(config, builder, strategy)
    if chief:  # Also finds out now whether the workdir can be written.
        run_config.write_config(config.workdir, described)
        remove_temporary_files(config.workdir)
        remove_temporary_files(pathlib.Path(config.workdir) / CHECKPOINT_FOLDER)
    trainer = build_trainer(
        *(config, strategy, builder, data.steps_per_epoch),
        pretrained=run_state.read_progress(config.workdir) is None,
    )
    progress = run_state.load_state(config.workdir, trainer.variables)
    if progress:
        trainer.progress = progress
        logging.info(
            "Continuing after epoch %d, step %d.", progress.epoch, progress.step
        )
    trainer.check_workers_agree()
    derived = derived_numbers(config, trainer, data)
    logging.info(" ".join(f"{name}={value}" for name, value in derived.items()))
    if chief:
        run_config.write_config(config.workdir, described | {"derived": derived})
    with StopRequest() as stop_request:
        saver = run_state.Saver(config.workdir, trainer, config.save_minutes, chief)
        try:
            trainer.fit(
                data.training,
                data.evaluation(),
                epochs=config.epochs,
                steps_per_epoch=data.steps_per_epoch,
                evaluation_steps=data.evaluation_steps,
                callbacks=build_callbacks(config, trainer, data, described, chief),
                save_state=saver.save,
                wants_state=saver.is_due,
                wants_stop=stop_request,
            )
        except Interrupted:
            logging.info("Stopped, state saved. The same command continues the run.")
            history = trainer.progress.history
            best = _best_checkpoint(config.workdir) if history else None
            return TrainResult(history, best, is_finished=False)
    return _finish(config, trainer.progress.history, described, chief)


def _ended(config, earlier_epochs):
    """Returns the progress of a workdir's run that has ended with `epochs`, or None."""
    progress = run_state.read_progress(config.workdir)
    if earlier_epochs is None or progress is None:
        return None
    if progress.finished_of == config.epochs:
        logging.info(
            "The run in %s is finished after %d epochs. Raise --epochs to train on.",
            *(config.workdir, progress.epoch),
        )
        return progress
    if earlier_epochs != config.epochs:
        logging.info(
            "Epochs were %d and are %d: the learning rate follows the schedule of %d.",
            *(earlier_epochs, config.epochs, config.epochs),
        )
    return None


def _finish(config, history, described, chief):
    """Does what comes after the last saved state, also where a kill prevented it."""
    folder = pathlib.Path(config.workdir) / CHECKPOINT_FOLDER
    if chief:
        keep_best(folder, config.keep_checkpoints, described["run"])
        draw_curves(config.workdir, history, CLASS_NAMES)
    best = _best_checkpoint(config.workdir)
    if chief and best:
        logging.info("Best checkpoint: %s", best)
    elif chief and all(
        math.isnan(row.get(config.monitor, math.nan)) for row in history
    ):
        logging.warning("No checkpoint: %s was never a number.", config.monitor)
    elif chief:
        logging.warning(
            "The run's checkpoints are gone from %s. Put them back there, or train "
            "again in another --workdir; --epochs=%d or more trains on from the last "
            "weights, which the state still holds.",
            *(folder, config.epochs + 1),
        )
    return TrainResult(history, best, is_finished=True)


def _best_checkpoint(workdir):
    """Returns the path of the best checkpoint in a workdir, or None without one."""
    with contextlib.suppress(ValueError):
        return best_checkpoint(workdir)
    return None


def build_trainer(
    config: TrainConfig,
    strategy: tf.distribute.Strategy,
    builder: tfds.core.DatasetBuilder,
    steps_per_epoch: int,
    pretrained: bool = True,
) -> Trainer:
    """Returns the Trainer of a run, its variables at their first values.

    Args:
        config: of the run.
        strategy: that it is built for.
        builder: of the built dataset.
        steps_per_epoch: steps.
        pretrained: False reads no weights to start from: a saved state follows, which
            holds all.
    """
    keras.utils.set_random_seed(config.seed)
    weights: str | None = config.encoder_weights
    if config.initial_checkpoint or weights == "none" or not pretrained:
        weights = None
    with strategy.scope():
        model = build_unet(
            num_classes=len(CLASS_NAMES),
            image_size=config.image_size,
            encoder_weights=weights,
            frozen_blocks=0,
            normalize_skips=config.normalize_skips,
            context=config.context,
            encoder=config.encoder,
            synchronized_batch_norm=strategy.num_replicas_in_sync > 1,
        )
        if config.initial_checkpoint and pretrained:
            load_initial_checkpoint(model, config.initial_checkpoint)
        freeze_encoder(model, config.blocks_frozen)
        variables = list(model.trainable_variables)
        if config.unfreeze_epoch:
            variables = later_variables(model, config.blocks_frozen, config.unfreeze_to)
        warmup_epochs = min(config.warmup_epochs, config.epochs / 10)
        optimizer = build_optimizer(
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            total_steps=config.epochs * steps_per_epoch,
            warmup_steps=round(warmup_epochs * steps_per_epoch),
            float16=config.precision == "float16",
            encoder_variables=[v for v in variables if v.path.startswith("block")],
            encoder_rate_scale=config.encoder_rate_scale,
        )
        optimizer.build(variables)
        averaged = AveragedWeights(variables, config.ema) if config.ema else None
    steps_per_call = 1 if _is_on_cpu(config) or config.deterministic else 8
    return Trainer(
        model,
        optimizer,
        losses.build_loss(
            config.loss, len(CLASS_NAMES), class_weights(config, builder)
        ),
        strategy=strategy,
        class_names=CLASS_NAMES,
        global_batch_size=config.global_batch_size,
        clip_norm=config.clip_norm,
        steps_per_call=config.steps_per_call or steps_per_call,
        xla=config.xla,
        averaged_weights=averaged,
    )


def _is_on_cpu(config):
    return not tf.config.list_logical_devices("GPU") and config.strategy != "tpu"


def class_weights(
    config: TrainConfig, builder: tfds.core.DatasetBuilder
) -> tuple[float, ...] | None:
    """Returns the weights of `class_balance`, or None without it."""
    if not config.class_balance:
        return None
    counts = builder.info.metadata["class_pixel_counts"]
    if TRAIN not in counts:
        raise ValueError("--class_balance needs a dataset with a train split")
    return losses.class_weights_from_counts(
        counts[TRAIN][mask_name(config.mask)], config.class_balance
    )


def build_callbacks(
    config: TrainConfig, trainer: Trainer, data: Data, described: dict, chief: bool
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks; those that write files or print only for the chief."""
    callbacks: list[keras.callbacks.Callback] = []
    if config.unfreeze_epoch:
        stages = config.unfreeze_epoch, config.blocks_frozen, config.unfreeze_to
        callbacks.append(UnfreezeEncoder(*stages))
    if config.early_stopping:
        patience = config.early_stopping
        callbacks.append(
            keras.callbacks.EarlyStopping(config.monitor, patience=patience, mode="max")
        )
    if not chief:
        return callbacks
    details = {
        "image_size": config.image_size,
        "mask": config.mask,
        "class_names": list(CLASS_NAMES),
        "run": described["run"],
        "encoder": config.encoder,
        "encoder_weights": config.encoder_weights,
        "initial_checkpoint": config.initial_checkpoint,
        "precision": config.precision,
        "dataset": described["dataset"],
        "versions": described["versions"],
        "flags": described["flags"],
    }
    workdir, keep = config.workdir, config.keep_checkpoints
    # The checkpoint is the first file of an epoch: no other may cost it when it fails.
    return [
        *callbacks,
        ProgressBar(config.global_batch_size, config.monitor),
        BestCheckpoint(workdir, details, monitor=config.monitor, keep=keep),
        HistoryFile(workdir, trainer.progress.history),
        EventFiles(workdir, *data.panels()),
    ]


def derived_numbers(config: TrainConfig, trainer: Trainer, data: Data) -> dict:
    """Returns the numbers that follow from settings, data and devices."""
    strategy, weights = trainer.strategy, trainer.model.trainable_weights
    return {
        "workers": strategies.num_workers(strategy),
        "replicas": strategy.num_replicas_in_sync,
        "global_batch_size": config.global_batch_size,
        "per_replica_batch_size": strategies.per_replica_batch_size(
            config.global_batch_size, strategy
        ),
        "train_examples": data.train_examples,
        "validation_examples": data.validation_examples,
        "steps_per_epoch": data.steps_per_epoch,
        "total_steps": config.epochs * data.steps_per_epoch,
        "evaluation_steps": data.evaluation_steps,
        "parameters": trainer.model.count_params(),
        "trainable_parameters": sum(int(np.prod(w.shape)) for w in weights),
    }
