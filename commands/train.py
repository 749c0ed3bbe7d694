"""Trains VGG16-UNet on lunar_rocks: `python train.py --strategy=mirrored`.

Start the same command again to continue a run that was stopped in any way. Exit
status: 0 finished, 1 an error, 75 stopped with its state saved: start it again.
"""

import os
import sys

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from lunar_tfds.atomic_files import remove_temporary_files
from lunar_tfds.palette import CLASS_NAMES
from model.network import losses
from model.network.checkpoints import CHECKPOINT_FOLDER, best_checkpoint, read_index
from model.network.metrics import scores_from_confusion
from model.network.vgg16_unet import SIZE_MULTIPLE, build_vgg16_unet, nearest_size
from model.training import run_config, run_state, strategies
from model.training.callbacks import HistoryFile, ProgressBar
from model.training.checkpoints import BestCheckpoint, keep_best
from model.training.curves import draw_curves
from model.training.optimizers import AveragedWeights, build_optimizer
from model.training.preemption import EXIT_STARTS_AGAIN, StopRequest
from model.training.tensorboard import EventFiles
from model.training.trainer import Interrupted, Trainer
from model.training.unfreezing import UnfreezeEncoder, later_variables
from pipeline import batching

SCORES = sorted(scores_from_confusion(np.zeros([len(CLASS_NAMES)] * 2), CLASS_NAMES))
POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}

FLAGS = flags.FLAGS
# Data.
flags.DEFINE_string("data_dir", None, "TFDS data_dir; TFDS's own by default.")
flags.DEFINE_enum("mask", "ground", ["ground", "clean"], "Masks to learn.")
flags.DEFINE_string("train_split", "train", "TFDS split expression to train on.")
flags.DEFINE_string("validation_split", "validation", "TFDS split to score on.")
flags.DEFINE_list("exclude_defects", [], "Defect lists whose frames are left out.")
flags.DEFINE_string("protocol", None, "Another project's split, see pipeline.")
flags.DEFINE_integer("image_size", 512, "Side of the square input, px.")
flags.DEFINE_bool("augment", True, "Random flips, rotation, scale, brightness ...")
flags.DEFINE_enum("cache", "none", ["none", "memory", "disk"], "Cache of pixels.")
flags.DEFINE_string("cache_dir", None, "Folder of --cache=disk.")
flags.DEFINE_enum("cache_channels", "3", ["1", "3"], "1: grey, 2/5 of the cache.")
flags.DEFINE_string("data_service", None, "grpc://host:port of a tf.data service.")
# Model.
flags.DEFINE_string("encoder_weights", "imagenet", "imagenet, none, or a file.")
flags.DEFINE_integer("frozen_blocks", 4, "Encoder blocks not trained, 0 to 5.")
flags.DEFINE_bool("normalize_skips", True, "BatchNormalization on each skip.")
flags.DEFINE_integer("unfreeze_epoch", 0, "Epoch that unfreezes the encoder; 0 never.")
flags.DEFINE_integer("unfreeze_to", 0, "Encoder blocks still frozen from then on.")
# Learning.
flags.DEFINE_integer("global_batch_size", 8, "Examples of a step over all replicas.")
flags.DEFINE_integer("epochs", 50, "Epochs in all.")
flags.DEFINE_float("learning_rate", 1e-3, "Peak of the cosine schedule.")
flags.DEFINE_float("warmup_epochs", 1.0, "Epochs until the peak, at most a tenth.")
flags.DEFINE_float("encoder_rate_scale", 1.0, "Encoder's share of the learning rate.")
flags.DEFINE_float("weight_decay", 1e-3, "AdamW's, not on biases and BatchNorm.")
flags.DEFINE_float("clip_norm", 1.0, "Largest norm of the whole gradient; 0 is off.")
flags.DEFINE_enum("loss", "ce_dice", losses.LOSS_NAMES, "Loss.")
flags.DEFINE_float("class_balance", 0.0, "Power of inverse class frequency; 0 is off.")
flags.DEFINE_float("ema", 0.0, "Momentum of averaged weights, e.g. 0.999; 0 is off.")
flags.DEFINE_string("monitor", "val_mean_iou", "Validation score that picks the best.")
flags.DEFINE_integer("early_stopping", 0, "Epochs without a better score; 0 is off.")
flags.DEFINE_integer("seed", 0, "Seed of weights, order and augmentation.")
# Running.
flags.DEFINE_string("workdir", "runs/vgg16_unet", "Folder of everything written.")
flags.DEFINE_enum("strategy", "mirrored", strategies.STRATEGY_NAMES, "Devices to use.")
flags.DEFINE_string("tpu", "", "Name or address of the TPU; local on a TPU VM.")
flags.DEFINE_integer("virtual_devices", 0, "Splits the CPU into so many devices.")
flags.DEFINE_enum("precision", "float32", list(POLICIES), "Arithmetic of the layers.")
flags.DEFINE_bool("xla", False, "Compile the step with XLA; slower on a CPU.")
flags.DEFINE_bool("deterministic", False, "The same bits in every run; slower.")
flags.DEFINE_integer("steps_per_call", 0, "Steps per call; 0: 1 on CPU, else 8.")
flags.DEFINE_float("save_minutes", 10.0, "Time between saves inside an epoch.")
flags.DEFINE_integer("keep_checkpoints", 3, "Best checkpoints to keep.")
flags.DEFINE_bool("traceback", False, "Show where an error arose.")
flags.DEFINE_integer("panels", 4, "Validation examples to picture each epoch.")

for _name in ("image_size", "global_batch_size", "epochs", "keep_checkpoints"):
    flags.register_validator(_name, lambda value: value > 0, "must be at least 1")
for _name in ("virtual_devices", "steps_per_call", "early_stopping", "panels"):
    flags.register_validator(_name, lambda value: value >= 0, "must be 0 or more")
for _name in ("frozen_blocks", "unfreeze_to"):
    flags.register_validator(_name, lambda n: 0 <= n <= 5, "must be 0 to 5")
for _name in ("weight_decay", "clip_norm", "warmup_epochs", "unfreeze_epoch"):
    flags.register_validator(_name, lambda value: value >= 0, "must be 0 or more")
flags.register_validator("learning_rate", lambda v: v > 0, "must be more than 0")
flags.register_validator(
    "encoder_rate_scale",
    lambda v: v > 0,
    "must be more than 0; --frozen_blocks=5 leaves the encoder untrained",
)
flags.register_validator("class_balance", lambda v: 0 <= v <= 1, "must be in [0, 1]")
flags.register_validator("ema", lambda v: 0 <= v < 1, "must be in [0, 1)")
flags.register_validator(
    "monitor",
    lambda name: name in [f"val_{score}" for score in SCORES],
    "must be a validation score, not a loss: " + ", ".join(f"val_{s}" for s in SCORES),
)
flags.register_multi_flags_validator(
    ["encoder_weights", "frozen_blocks"],
    lambda _: frozen_blocks() == 0 or FLAGS.encoder_weights != "none",
    "--encoder_weights=none starts from random filters, and frozen ones learn nothing: "
    "use --frozen_blocks=0 with it",
)

flags.register_multi_flags_validator(
    ["cache", "cache_dir"],
    lambda flag: flag["cache"] != "disk" or flag["cache_dir"],
    "--cache=disk needs --cache_dir, a folder to write to",
)

flags.register_multi_flags_validator(
    ["data_service", "cache"],
    lambda flag: not flag["data_service"] or flag["cache"] == "none",
    "--data_service cannot read this process's cache: use --cache=none with it",
)

flags.register_multi_flags_validator(
    ["deterministic", "steps_per_call"],
    lambda flag: not flag["deterministic"] or flag["steps_per_call"] < 2,
    "--deterministic needs --steps_per_call=1",
)


@flags.validator("image_size")
def is_multiple(image_size):
    """Returns whether the network takes squares of this side; names the nearest."""
    if image_size % SIZE_MULTIPLE:
        raise flags.ValidationError(
            f"must be a multiple of {SIZE_MULTIPLE}; the nearest is "
            f"{nearest_size(image_size)}"
        )
    return True


def frozen_blocks():
    """Returns --frozen_blocks, by default 0 for an encoder without weights."""
    flag = FLAGS["frozen_blocks"]
    unset = flag.using_default_value and FLAGS.encoder_weights == "none"
    return 0 if unset else flag.value


class Data:
    """The two splits: their sizes, and distributed datasets of their batches."""

    def __init__(self, builder, strategy):
        self._builder, self._strategy = builder, strategy
        self.splits = [
            batching.resolve_split(builder, split)
            for split in (FLAGS.train_split, FLAGS.validation_split)
        ]
        self._selection = {
            "exclude_defects": tuple(FLAGS.exclude_defects),
            "protocol": FLAGS.protocol,
        }
        counts = [
            batching.num_examples(builder, split, **self._selection)
            for split in self.splits
        ]
        for flag, count in zip(("train", "validation"), counts, strict=True):
            if not count:
                raise ValueError(f"--{flag}_split has no example. Choose another split")
        self.train_examples, self.validation_examples = counts
        self.steps_per_epoch = batching.steps_per_epoch(
            counts[0], FLAGS.global_batch_size
        )
        self.evaluation_steps = -(-counts[1] // FLAGS.global_batch_size)

    def training(self, epoch, step):
        """Returns the distributed training batches from there on, without end."""
        strength = batching.Augmentation() if FLAGS.augment else None
        return self._strategy.distribute_datasets_from_function(
            lambda context: batching.training_dataset(
                self._builder,
                self.splits[0],
                augmentation=strength,
                seed=FLAGS.seed,
                start_epoch=epoch,
                start_step=step,
                input_context=context,
                data_service=FLAGS.data_service,
                **self._batches(FLAGS.global_batch_size),
            )
        )

    def evaluation(self):
        """Returns the distributed validation batches, each example once."""
        return self._strategy.distribute_datasets_from_function(
            lambda context: batching.evaluation_dataset(
                self._builder,
                self.splits[1],
                input_context=context,
                **self._batches(FLAGS.global_batch_size),
            )
        )

    def panels(self):
        """Returns images and masks of the first --panels validation examples."""
        count = min(FLAGS.panels, self.validation_examples)
        if not count:
            return [], []
        settings = self._batches(count) | {"cache": "none"}
        dataset = batching.evaluation_dataset(self._builder, self.splits[1], **settings)
        images, masks, _ = next(iter(dataset))
        return images.numpy(), masks.numpy()

    def _batches(self, batch_size):
        return self._selection | {
            "mask": FLAGS.mask,
            "image_size": FLAGS.image_size,
            "global_batch_size": batch_size,
            "cache": FLAGS.cache,
            "cache_dir": FLAGS.cache_dir,
            "cache_channels": int(FLAGS.cache_channels),
        }


def configuration(builder):
    """Returns what config.json holds, but for the numbers that Trainer derives."""
    own_flags = FLAGS.get_flags_for_module(sys.modules[__name__])
    values = {flag.name: flag.value for flag in own_flags}
    values["frozen_blocks"] = frozen_blocks()
    metadata = builder.info.metadata or {}
    dataset = {
        "name": builder.name,
        "version": str(builder.version),
        "config": builder.builder_config.name if builder.builder_config else None,
        "source_fingerprint": metadata.get("source_fingerprint"),
    }
    return run_config.run_config(values, dataset)


def class_weights(builder):
    """Returns the weights of --class_balance, or None without it."""
    if not FLAGS.class_balance:
        return None
    counts = builder.info.metadata["class_pixel_counts"]
    if "train" not in counts:
        raise ValueError("--class_balance needs a dataset with a train split")
    return losses.class_weights_from_counts(
        counts["train"][f"{FLAGS.mask}_mask"], FLAGS.class_balance
    )


def build_trainer(strategy, builder, steps_per_epoch):
    """Returns the Trainer of the flags, its variables at their first values."""
    keras.utils.set_random_seed(FLAGS.seed)
    keras.mixed_precision.set_dtype_policy(POLICIES[FLAGS.precision])
    weights = None if FLAGS.encoder_weights == "none" else FLAGS.encoder_weights
    with strategy.scope():
        model = build_vgg16_unet(
            num_classes=len(CLASS_NAMES),
            image_size=FLAGS.image_size,
            encoder_weights=weights,
            frozen_blocks=frozen_blocks(),
            normalize_skips=FLAGS.normalize_skips,
            synchronized_batch_norm=strategy.num_replicas_in_sync > 1,
        )
        variables = list(model.trainable_variables)
        if FLAGS.unfreeze_epoch:
            variables = later_variables(model, frozen_blocks(), FLAGS.unfreeze_to)
        warmup_epochs = min(FLAGS.warmup_epochs, FLAGS.epochs / 10)
        optimizer = build_optimizer(
            learning_rate=FLAGS.learning_rate,
            weight_decay=FLAGS.weight_decay,
            total_steps=FLAGS.epochs * steps_per_epoch,
            warmup_steps=round(warmup_epochs * steps_per_epoch),
            float16=FLAGS.precision == "float16",
            encoder_variables=[v for v in variables if v.path.startswith("block")],
            encoder_rate_scale=FLAGS.encoder_rate_scale,
        )
        optimizer.build(variables)
        averaged = AveragedWeights(variables, FLAGS.ema) if FLAGS.ema else None
    on_cpu = not tf.config.list_logical_devices("GPU") and FLAGS.strategy != "tpu"
    steps_per_call = 1 if on_cpu or FLAGS.deterministic else 8
    return Trainer(
        model,
        optimizer,
        losses.build_loss(FLAGS.loss, len(CLASS_NAMES), class_weights(builder)),
        strategy=strategy,
        class_names=CLASS_NAMES,
        global_batch_size=FLAGS.global_batch_size,
        clip_norm=FLAGS.clip_norm,
        steps_per_call=FLAGS.steps_per_call or steps_per_call,
        xla=FLAGS.xla,
        averaged_weights=averaged,
    )


def build_callbacks(trainer, data, config, chief):
    """Returns the callbacks; those that write files or print only for the chief."""
    callbacks = []
    if FLAGS.unfreeze_epoch:
        stages = FLAGS.unfreeze_epoch, frozen_blocks(), FLAGS.unfreeze_to
        callbacks.append(UnfreezeEncoder(*stages))
    if FLAGS.early_stopping:
        patience = FLAGS.early_stopping
        callbacks.append(
            keras.callbacks.EarlyStopping(FLAGS.monitor, patience=patience, mode="max")
        )
    if not chief:
        return callbacks
    details = {
        "image_size": FLAGS.image_size,
        "mask": FLAGS.mask,
        "class_names": list(CLASS_NAMES),
        "encoder_weights": FLAGS.encoder_weights,
        "precision": FLAGS.precision,
        "dataset": config["dataset"],
        "versions": config["versions"],
        "flags": config["flags"],
    }
    workdir, keep = FLAGS.workdir, FLAGS.keep_checkpoints
    # The checkpoint is the first file of an epoch: no other may cost it when it fails.
    return [
        *callbacks,
        ProgressBar(FLAGS.global_batch_size, FLAGS.monitor),
        BestCheckpoint(workdir, details, monitor=FLAGS.monitor, keep=keep),
        HistoryFile(workdir, trainer.progress.history),
        EventFiles(workdir, *data.panels()),
    ]


def derived_numbers(trainer, data):
    """Returns the numbers that follow from flags, data and devices."""
    strategy, weights = trainer.strategy, trainer.model.trainable_weights
    return {
        "workers": strategies.num_workers(strategy),
        "replicas": strategy.num_replicas_in_sync,
        "global_batch_size": FLAGS.global_batch_size,
        "per_replica_batch_size": strategies.per_replica_batch_size(
            FLAGS.global_batch_size, strategy
        ),
        "train_examples": data.train_examples,
        "validation_examples": data.validation_examples,
        "steps_per_epoch": data.steps_per_epoch,
        "total_steps": FLAGS.epochs * data.steps_per_epoch,
        "evaluation_steps": data.evaluation_steps,
        "parameters": trainer.model.count_params(),
        "trainable_parameters": sum(int(np.prod(w.shape)) for w in weights),
    }


def is_finished(earlier_epochs, chief):
    """Returns whether the workdir's run has ended with --epochs; says so if it has."""
    progress = run_state.read_progress(FLAGS.workdir)
    if earlier_epochs is None or progress is None:
        return False
    if progress.finished_of == FLAGS.epochs:
        finish(progress.history, chief)
        logging.info(
            "The run in %s is finished after %d epochs. Raise --epochs to train on.",
            *(FLAGS.workdir, progress.epoch),
        )
        return True
    if earlier_epochs != FLAGS.epochs:
        logging.info(
            "Epochs were %d and are %d: the learning rate follows the schedule of %d.",
            *(earlier_epochs, FLAGS.epochs, FLAGS.epochs),
        )
    return False


def finish(history, chief):
    """Does what comes after the last saved state, also where a kill prevented it."""
    if not chief:
        return
    folder = os.path.join(FLAGS.workdir, CHECKPOINT_FOLDER)
    keep_best(folder, FLAGS.keep_checkpoints)
    draw_curves(FLAGS.workdir, history, CLASS_NAMES)
    if read_index(folder):
        logging.info("Best checkpoint: %s", best_checkpoint(FLAGS.workdir))
    else:
        logging.warning("No checkpoint: %s was never a number.", FLAGS.monitor)


def main(argv):
    """Trains; returns the process's exit status."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = strategies.build_strategy(
        FLAGS.strategy, tpu=FLAGS.tpu, virtual_devices=FLAGS.virtual_devices
    )
    strategies.per_replica_batch_size(FLAGS.global_batch_size, strategy)
    if FLAGS.xla:
        strategies.check_xla(strategy)
    chief = strategies.is_chief(strategy)
    builder = batching.open_dataset(FLAGS.data_dir)
    config = configuration(builder)
    if is_finished(run_config.check_config(FLAGS.workdir, config), chief):
        return 0
    data = Data(builder, strategy)
    if chief:  # Also finds out now whether the workdir can be written.
        run_config.write_config(FLAGS.workdir, config)
        remove_temporary_files(FLAGS.workdir)
        remove_temporary_files(os.path.join(FLAGS.workdir, CHECKPOINT_FOLDER))
    trainer = build_trainer(strategy, builder, data.steps_per_epoch)
    progress = run_state.load_state(FLAGS.workdir, trainer.variables)
    if progress:
        trainer.progress = progress
        logging.info(
            "Continuing after epoch %d, step %d.", progress.epoch, progress.step
        )
    trainer.check_workers_agree()
    derived = derived_numbers(trainer, data)
    logging.info(" ".join(f"{name}={value}" for name, value in derived.items()))
    if chief:
        run_config.write_config(FLAGS.workdir, config | {"derived": derived})
    with StopRequest() as stop_request:
        saver = run_state.Saver(FLAGS.workdir, trainer, FLAGS.save_minutes, chief)
        try:
            trainer.fit(
                data.training,
                data.evaluation(),
                epochs=FLAGS.epochs,
                steps_per_epoch=data.steps_per_epoch,
                evaluation_steps=data.evaluation_steps,
                callbacks=build_callbacks(trainer, data, config, chief),
                save_state=saver.save,
                wants_state=saver.is_due,
                wants_stop=stop_request,
            )
        except Interrupted:
            logging.info("Stopped, state saved. The same command continues the run.")
            return EXIT_STARTS_AGAIN
    finish(trainer.progress.history, chief)
    return 0


def run(argv):
    """Runs `main`; what a user can mend becomes one line in place of a traceback."""
    try:
        return main(argv)
    except (ValueError, OSError, FloatingPointError) as error:
        if FLAGS.traceback:
            raise
        logging.error("%s (--traceback shows where)", error)
        return 1
    except strategies.LOST_WORKER_ERRORS as error:
        if FLAGS.strategy != "multi_worker_mirrored":
            raise
        logging.error(
            "Lost another worker. Start all workers again with the same command to "
            "continue from the saved state. (%s)",
            str(error).splitlines()[0],
        )
        logging.flush()
        os._exit(EXIT_STARTS_AGAIN)  # TensorFlow's own exit would wait for the peer.


if __name__ == "__main__":
    logging.set_verbosity(logging.INFO)
    tf.get_logger().setLevel("WARNING")  # It tells of every sum over replicas.
    app.run(run)
