"""The settings of a training run: each with its default, help and check, once.

The flags of `train.py` are made from `TrainConfig`, and messages call a setting as its
flag is called.
"""

import dataclasses
import pathlib

import numpy as np

from lunar_tfds.palette import CLASS_NAMES
from lunar_tfds.settings import (
    at_least,
    between,
    check,
    data_dir,
    more_than,
    same_as,
    setting,
)
from model.network.checkpoints import DEFAULT_WORKDIR
from model.network.losses import LOSS_NAMES
from model.network.metrics import scores_from_confusion
from model.network.precision import POLICIES
from model.network.unet import (
    DEFAULT_ENCODER,
    ENCODERS,
    NUM_BLOCKS,
    is_network_size,
)
from model.training.strategies import STRATEGY_NAMES
from pipeline import selection
from pipeline.augmentation import Augmentation
from pipeline.batching import Batches
from pipeline.cache import Reading
from pipeline.selection import Selection

_NO_COUNTS = np.zeros([len(CLASS_NAMES)] * 2)
MONITORS = tuple(sorted(scores_from_confusion(_NO_COUNTS, CLASS_NAMES, "val_")))


def _is_monitor(name):
    if name in MONITORS:
        return None
    return f"must be a validation score, not a loss: {', '.join(MONITORS)}"


def _is_encoder_scale(scale):
    if scale > 0:
        return None
    return "must be more than 0; --frozen_blocks=5 leaves the encoder untrained"


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A training run: `train_and_evaluate(TrainConfig(image_size=256))`.

    Raises:
        ValueError: a setting breaks its rule, or two do not go together.
    """

    # Data.
    data_dir: str | None = data_dir()
    mask: str = selection.mask()
    train_split: str = setting("train", "TFDS split expression to train on.")
    validation_split: str = setting("validation", "TFDS split to score on.")
    exclude_defects: tuple = selection.exclude_defects()
    protocol: str | None = selection.protocol()
    image_size: int = setting(
        Batches.image_size, "Side of the square input, px.", is_network_size
    )
    augment: bool = setting(True, "Random flips, rotation, scale, brightness ...")
    augment_horizontal_flip: float = same_as(Augmentation, "horizontal_flip")
    augment_vertical_flip: float = same_as(Augmentation, "vertical_flip")
    augment_rotation: float = same_as(Augmentation, "rotation")
    augment_shift: float = same_as(Augmentation, "shift")
    augment_scale: float = same_as(Augmentation, "scale")
    augment_brightness: float = same_as(Augmentation, "brightness")
    augment_contrast: float = same_as(Augmentation, "contrast")
    augment_color: float = same_as(Augmentation, "color")
    augment_gamma: float = same_as(Augmentation, "gamma")
    augment_noise: float = same_as(Augmentation, "noise")
    cache: str = same_as(Reading, "cache")
    cache_dir: str | None = same_as(Reading, "cache_dir")
    cache_channels: int = same_as(Reading, "cache_channels")
    data_service: str | None = same_as(Reading, "data_service")
    # Model.
    encoder: str = setting(
        DEFAULT_ENCODER,
        "Encoder: efficientnet_lite0 is small and fast.",
        choices=tuple(ENCODERS),
    )
    encoder_weights: str = setting(
        "imagenet", "imagenet, starter, starter_lite, none, or a file.", is_path=True
    )
    initial_checkpoint: str | None = setting(
        None,
        "Network to start from in place of encoder weights: starter, starter_lite, "
        "a .keras file, or a workdir.",
        is_path=True,
    )
    frozen_blocks: int | None = setting(
        None,
        f"Encoder blocks not trained, 0 to {NUM_BLOCKS}; by default 4 of vgg16, 0 "
        "of efficientnet_lite0 and without weights.",
        between(0, NUM_BLOCKS),
    )
    normalize_skips: bool = setting(True, "BatchNormalization on each VGG16 skip.")
    context: bool = setting(
        False, "Adds far and whole-image features to the encoder's last ones."
    )
    unfreeze_epoch: int = setting(
        0, "Epoch that unfreezes the encoder; 0 never.", at_least(0)
    )
    unfreeze_to: int = setting(
        0, "Encoder blocks still frozen from then on.", between(0, NUM_BLOCKS)
    )
    # Learning.
    global_batch_size: int = setting(
        Batches.global_batch_size, "Examples of a step over all replicas.", at_least(1)
    )
    epochs: int = setting(50, "Epochs in all.", at_least(1))
    learning_rate: float = setting(1e-3, "Peak of the cosine schedule.", more_than(0))
    warmup_epochs: float = setting(
        1.0, "Epochs until the peak, at most a tenth.", at_least(0)
    )
    encoder_rate_scale: float = setting(
        1.0, "Encoder's share of the learning rate.", _is_encoder_scale
    )
    weight_decay: float = setting(
        1e-3, "AdamW's, not on biases and BatchNorm.", at_least(0)
    )
    clip_norm: float = setting(
        1.0, "Largest norm of the whole gradient; 0 is off.", at_least(0)
    )
    loss: str = setting("ce_dice", "Loss.", choices=LOSS_NAMES)
    class_balance: float = setting(
        0.0,
        "Power of inverse class frequency in the dataset's train split; 0 is off.",
        lambda power: None if 0 <= power <= 1 else "must be in [0, 1]",
    )
    ema: float = setting(
        0.0,
        "Momentum of averaged weights, e.g. 0.999; 0 is off.",
        lambda momentum: None if 0 <= momentum < 1 else "must be in [0, 1)",
    )
    monitor: str = setting(
        "val_mean_iou", "Validation score that picks the best.", _is_monitor
    )
    early_stopping: int = setting(
        0, "Epochs without a better score; 0 is off.", at_least(0)
    )
    seed: int = setting(0, "Seed of weights, order and augmentation.")
    # Running.
    workdir: str = setting(
        "",
        "Folder of everything written; by default runs/ENCODER_unet.",
        is_path=True,
    )
    strategy: str = setting("mirrored", "Devices to use.", choices=STRATEGY_NAMES)
    tpu: str = setting("", "Name or address of the TPU; local on a TPU VM.")
    virtual_devices: int = setting(
        0, "Splits the CPU into so many devices.", at_least(0)
    )
    precision: str = setting(
        "float32", "Arithmetic of the layers.", choices=tuple(POLICIES)
    )
    xla: bool = setting(False, "Compile the step with XLA; slower on a CPU.")
    deterministic: bool = setting(False, "The same bits in every run; slower.")
    steps_per_call: int = setting(
        0, "Steps per call; 0: 1 on CPU, else 8.", at_least(0)
    )
    save_minutes: float = setting(
        10.0, "Time between saves inside an epoch.", at_least(0)
    )
    keep_checkpoints: int = setting(3, "Best checkpoints to keep.", at_least(1))
    panels: int = setting(4, "Validation examples to picture each epoch.", at_least(0))

    def __post_init__(self):
        check(self)
        if not self.workdir:
            folder = pathlib.Path(DEFAULT_WORKDIR).parent / f"{self.encoder}_unet"
            object.__setattr__(self, "workdir", str(folder))
        if self.frozen_blocks is None:
            default = ENCODERS[self.encoder].FROZEN_BLOCKS
            without = self.encoder_weights == "none"
            object.__setattr__(self, "frozen_blocks", 0 if without else default)
        for says in (
            self._size_problem(),
            self._encoder_problem(),
            self._unfreezing_problem(),
        ):
            if says:
                raise ValueError(says)
        _ = self.reading  # Checks that its settings go together.
        if not self.augment and self._strengths() != Augmentation():
            raise ValueError(
                "--noaugment leaves no use for the strengths --augment_...: drop one "
                "of them"
            )
        if self.tpu and self.strategy != "tpu":
            raise ValueError(
                f"--tpu={self.tpu} needs --strategy=tpu: got {self.strategy}"
            )
        if self.deterministic and self.steps_per_call > 1:
            raise ValueError("--deterministic needs --steps_per_call=1")

    def _size_problem(self):
        rule = is_network_size(self.image_size, ENCODERS[self.encoder].SIZE_MULTIPLE)
        return rule and (
            f"--image_size={self.image_size} {rule} with --encoder={self.encoder}"
        )

    def _encoder_problem(self):
        if self.initial_checkpoint and self.encoder_weights != "imagenet":
            return (
                f"--encoder_weights={self.encoder_weights} does nothing with "
                "--initial_checkpoint, which holds the encoder too: drop one of them"
            )
        if self.encoder_weights == "none" and self.frozen_blocks:
            return (
                "--encoder_weights=none starts from random filters, and frozen ones "
                "learn nothing: use --frozen_blocks=0 with it"
            )
        learns = self.frozen_blocks < NUM_BLOCKS or self.unfreeze_epoch
        if self.encoder_rate_scale != 1 and not learns:
            return (
                f"--encoder_rate_scale={self.encoder_rate_scale} does nothing with "
                f"--frozen_blocks={NUM_BLOCKS}: no block of the encoder learns"
            )
        return None

    def _unfreezing_problem(self):
        epoch, to = self.unfreeze_epoch, self.unfreeze_to
        if to and not epoch:
            return (
                f"--unfreeze_to={to} does nothing without --unfreeze_epoch, the epoch "
                "that unfreezes. For the whole run it is --frozen_blocks"
            )
        if epoch > self.epochs:
            return (
                f"--unfreeze_epoch={epoch} comes after the last of --epochs="
                f"{self.epochs}: nothing would be unfrozen"
            )
        if epoch and to >= self.frozen_blocks:
            return (
                f"--unfreeze_to={to} must be below --frozen_blocks="
                f"{self.frozen_blocks}, or nothing is unfrozen"
            )
        return None

    @property
    def blocks_frozen(self) -> int:
        """What `frozen_blocks` came to: encoder blocks not trained."""
        return self.frozen_blocks or 0

    def selection(self, split: str) -> Selection:
        """Returns the examples of a split that this run uses."""
        return Selection(split, self.mask, self.exclude_defects, self.protocol)

    def _strengths(self):
        names = (field.name for field in dataclasses.fields(Augmentation))
        return Augmentation(**{n: getattr(self, f"augment_{n}") for n in names})

    @property
    def augmentation(self) -> Augmentation | None:
        """Strengths of the augmentation, or None without it."""
        return self._strengths() if self.augment else None

    @property
    def reading(self) -> Reading:
        """How examples are read."""
        return Reading(
            self.cache, self.cache_dir, self.cache_channels, self.data_service
        )

    @property
    def batches(self) -> Batches:
        """What a batch is made of."""
        return Batches(self.image_size, self.global_batch_size)
