"""Batches of augmented images and masks from a built `lunar_rocks` dataset.

Every batch is a function of the seed, the epoch and the step. A dataset of steps is
mapped to example numbers, records, pixels and batches; parallel calls, replicas and
workers change who computes a batch and never what is in it. The one exception is a
tf.data service of several workers, which changes the order of steps.

Each epoch goes through a full permutation of the examples, whatever the cache, of which
a step computes its own part (see `order`). Records and cached pixels are read by
number, so there is no shuffle buffer, whose size would limit how well examples are
mixed and how much memory they hold. At any time there are as many decoded examples in
memory as parallel calls and waiting batches need.
"""

import dataclasses
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from lunar_tfds.kaggle_layout import mask_name
from lunar_tfds.opening import open_dataset
from lunar_tfds.settings import at_least, check, setting
from pipeline import cache as caches
from pipeline import execution, order, pixels, records, warp
from pipeline.augmentation import Augmentation, draw
from pipeline.cache import Reading
from pipeline.resize import output_size
from pipeline.selection import Selection

__all__ = [
    "Augmentation",
    "Batches",
    "Position",
    "Reading",
    "Selection",
    "evaluation_dataset",
    "example_dataset",
    "num_examples",
    "open_dataset",
    "steps_per_epoch",
    "training_dataset",
]


@dataclasses.dataclass(frozen=True)
class Batches:
    """What a batch is made of.

    Attributes:
        image_size: int or (height, width), px.
        global_batch_size: examples in a step over all replicas.
    """

    image_size: int | tuple[int, int] = 512
    global_batch_size: int = 8


@dataclasses.dataclass(frozen=True)
class Position:
    """A place in the endless sequence of training batches.

    Attributes:
        seed: of the order and of what is drawn for each example.
        epoch: epochs before it.
        step: steps into that epoch before it.

    Raises:
        ValueError: epoch or step is negative.
    """

    seed: int = setting(0, "Seed of weights, order and augmentation.")
    epoch: int = setting(0, "Epochs before it.", at_least(0))
    step: int = setting(0, "Steps into the epoch before it.", at_least(0))

    def __post_init__(self):
        check(self)


def num_examples(builder: tfds.core.DatasetBuilder, selection: Selection) -> int:
    """Returns how many examples a selection holds; errors as `records.find`."""
    return len(records.find(builder, selection))


def steps_per_epoch(num_examples: int, global_batch_size: int) -> int:
    """Returns the whole global batches in an epoch.

    Raises:
        ValueError: there are fewer examples than one batch needs.
    """
    if num_examples < global_batch_size:
        raise ValueError(
            f"An epoch needs at least one global batch: got {num_examples} examples "
            f"for global_batch_size {global_batch_size}. Use at most {num_examples}."
        )
    return num_examples // global_batch_size


def training_dataset(
    builder: tfds.core.DatasetBuilder,
    selection: Selection = Selection(),  # noqa: B008, it is frozen, as those below.
    batches: Batches = Batches(),  # noqa: B008
    position: Position = Position(),  # noqa: B008
    *,
    augmentation: Augmentation | None = Augmentation(),  # noqa: B008
    reading: Reading = Reading(),  # noqa: B008
    input_context: tf.distribute.InputContext | None = None,
    xla: bool = True,
) -> tf.data.Dataset:
    """Returns endless training batches of static shape.

    An epoch holds each example at most once and leaves out fewer than one global
    batch of them, others in each epoch. What comes is what an uninterrupted run gives
    from `position` on: what came before is not read.

    Args:
        builder: a built `tfds.core.DatasetBuilder` of `lunar_rocks`.
        selection: of renders, photos or both. Photos are first resized to a frame's
            size, so that they can be cached and warped as frames are.
        batches: their size.
        position: where to start.
        augmentation: strengths, or None for none.
        reading: where decoded pixels are kept, or which machines decode.
        input_context: of one worker, for
            `strategy.distribute_datasets_from_function`; None gives all.
        xla: False runs the same ops uncompiled: same ids, pixels within 1e-5.

    Returns:
        tf.data.Dataset of (image float32 [b, H, W, 3] in [0, 1], mask int32
        [b, H, W]); b is the batch of one replica, global_batch_size / replicas.

    Raises:
        ValueError: an argument is out of range; see `records.find`, `caches` and
            `replica_share` for the rest.
    """
    size = output_size(batches.image_size)
    examples = find_examples(builder, selection)
    global_batch_size = batches.global_batch_size
    steps = steps_per_epoch(len(examples), global_batch_size)
    replicas, batch_size = replica_share(global_batch_size, input_context)
    source = pixels.Source(examples, selection.mask, size, grey=reading.is_grey)
    stored = caches.store(reading, builder, selection, source)
    served = reading.data_service is not None
    own = slice(replicas.start * batch_size, replicas.stop * batch_size)
    read = _reader(source, stored)
    warped = Warp(source, size, augmentation, xla)

    def plan(step):
        """Returns (number, what is drawn for it) of each own example of a step."""
        first = step % steps * global_batch_size
        places = first + tf.range(own.start, own.stop, dtype=tf.int64)
        epoch = step // steps
        numbers = order.permuted(places, len(examples), position.seed, epoch)
        params = draw(augmentation, position.seed, step, global_batch_size)
        return numbers, warped.prepare({k: v[own] for k, v in params.items()})

    def augmented(number, prepared):
        return warped(read(number), prepared)

    start = position.epoch * steps + position.step
    dataset = tf.data.Dataset.range(start, tf.int64.max)
    dataset = execution.mapped(dataset, plan, served).unbatch()
    dataset = execution.mapped_batches(dataset, augmented, batch_size, served)
    if served:
        dataset = _served(dataset, reading.data_service, len(replicas))
    return execution.ready(dataset)


def evaluation_dataset(
    builder: tfds.core.DatasetBuilder,
    selection: Selection = Selection("validation"),  # noqa: B008
    batches: Batches = Batches(),  # noqa: B008
    *,
    reading: Reading = Reading(),  # noqa: B008
    input_context: tf.distribute.InputContext | None = None,
    xla: bool = True,
) -> tf.data.Dataset:
    """Returns batches that hold each example exactly once, in a fixed order.

    The last batch is padded to its full size by repeating the first example with
    weight 0, so shapes are static and every worker gets the same number of batches.
    The images are those of `resize.resize_image`. Photos (split 'real'), whose sizes
    vary, are not cached.

    Args:
        builder: see `training_dataset`, as for all that follow.
        selection: renders or photos.
        batches: their size.
        reading: where decoded pixels are kept; this process decodes them itself.
        input_context: of one worker, or None: all.
        xla: False runs the same ops uncompiled.

    Returns:
        tf.data.Dataset of (image float32 [b, H, W, 3] in [0, 1], mask int32
        [b, H, W], sample_weight float32 [b], 1 or 0).

    Raises:
        ValueError: see `training_dataset`.
    """
    size = output_size(batches.image_size)
    global_batch_size = batches.global_batch_size
    examples = find_examples(builder, selection)
    replicas, batch_size = replica_share(global_batch_size, input_context)
    if examples.varied_sizes:
        read = pixels.resized(examples, selection.mask, size)
    else:
        source = pixels.Source(examples, selection.mask, size, grey=reading.is_grey)
        stored = caches.store(reading, builder, selection, source)
        read = _identical(_reader(source, stored), Warp(source, size, None, xla))

    def plan(step):
        """Returns (number, weight) of each own example of a step."""
        places = tf.range(replicas.start * batch_size, replicas.stop * batch_size)
        numbers = step * global_batch_size + tf.cast(places, tf.int64)
        inside = numbers < len(examples)
        return tf.where(inside, numbers, 0), tf.cast(inside, tf.float32)

    def resized(number, weight):
        return *read(number), weight

    steps = -(-len(examples) // global_batch_size)
    dataset = execution.mapped(tf.data.Dataset.range(steps), plan).unbatch()
    return execution.ready(execution.mapped_batches(dataset, resized, batch_size))


def example_dataset(
    builder: tfds.core.DatasetBuilder, selection: Selection
) -> tf.data.Dataset:
    """Returns the examples of a selection once, in a fixed order, at their own size.

    Args:
        builder: see `training_dataset`.
        selection: renders or photos.

    Returns:
        tf.data.Dataset of dicts: `image` uint8 [height, width, 3], `mask` int32
        [height, width], `frame_id` string, `objects` and `defects` as stored. A
        protocol's crop is applied to image and mask and not to the boxes of `objects`.
    """
    examples = find_examples(builder, selection)
    mask = mask_name(selection.mask)

    def load(number):
        example = examples.features.deserialize_example(examples.read(number))
        image, ids = pixels.crop(examples, example["image"], example[mask])
        kept = {k: example[k] for k in ("frame_id", "objects", "defects")}
        return kept | {"image": image, "mask": tf.cast(ids[..., 0], tf.int32)}

    dataset = tf.data.Dataset.range(len(examples))
    return execution.ready(execution.mapped(dataset, load))


def per_replica_batch_size(global_batch_size: int, replicas: int) -> int:
    """Returns the examples of a step that one replica takes.

    The one place where the global batch becomes the replica's batch.

    Raises:
        ValueError: the replicas cannot share the batch equally.
    """
    if global_batch_size < 1 or global_batch_size % replicas:
        lower = global_batch_size // replicas * replicas
        choices = [str(size) for size in (lower, lower + replicas) if size > 0]
        raise ValueError(
            "global_batch_size must be a multiple of the replica count: got "
            f"{global_batch_size} for {replicas} replicas. Use {' or '.join(choices)}"
        )
    return global_batch_size // replicas


def replica_share(
    global_batch_size: int, input_context: tf.distribute.InputContext | None
) -> tuple[range, int]:
    """Returns (range of the replicas that this worker feeds, batch size of each).

    Raises:
        ValueError: the replicas cannot share the batch equally.
    """
    if input_context is None:
        return range(1), per_replica_batch_size(global_batch_size, 1)
    replicas = input_context.num_replicas_in_sync
    batch_size = per_replica_batch_size(global_batch_size, replicas)
    local = replicas // input_context.num_input_pipelines
    start = input_context.input_pipeline_id * local
    return range(start, start + local), batch_size


def find_examples(
    builder: tfds.core.DatasetBuilder, selection: Selection
) -> records.Examples:
    """Returns the examples of a selection; ValueError where there is none."""
    examples = records.find(builder, selection)
    if not len(examples):
        raise ValueError(
            f"Split {selection.split!r} holds no example. Choose another split."
        )
    return examples


def _reader(source, stored):
    """Returns a function from an example's number to its packed pixels and mask."""
    if stored is None:
        return source
    return lambda number: tuple(tf.gather(tensor, number) for tensor in stored)


def _identical(read, warped):
    """Returns a function from an example's number to its image and mask, unchanged."""
    prepared = tf.nest.map_structure(
        lambda tensor: tensor[0], warped.prepare(draw(None, 0, 0, 1))
    )
    return lambda number: warped(read(number), prepared)


def _served(dataset, address, replicas):
    """Returns the batches as a tf.data service's workers compute them.

    What a worker sends is the batches of all replicas of one step: those of two
    workers arrive in any order, and must not be mixed in a step.
    """
    service = tf.data.experimental.service
    distribute = service.distribute(service.ShardingPolicy.DYNAMIC, address)
    if replicas == 1:  # Spares the copies.
        return dataset.apply(distribute)
    return dataset.batch(replicas, drop_remainder=True).apply(distribute).unbatch()


class Warp:
    """The compiled warp in two parts: what a step draws, then example by example."""

    def __init__(
        self,
        source: pixels.Source,
        size: tuple[int, int],
        augmentation: Augmentation | None,
        xla: bool,
    ):
        """Compiles nothing yet; the first example does.

        Args:
            source: `pixels.Source`.
            size: (height, width) of the output, px.
            augmentation: `Augmentation`, or None for none.
            xla: whether to compile.
        """
        self._source, self._size = source, size
        self._used, self._table = ["gain", "bias"], None
        if augmentation is not None and augmentation.color:
            self._used += ["cast"]
        if augmentation is not None and augmentation.gamma:
            self._used += ["gamma"]
        if augmentation is not None and augmentation.noise:
            self._used += ["noise", "noise_start"]
            self._table = warp.noise_table(size[0] * size[1] * 3)
        self._warp = warp.compiled() if xla else warp.warp

    def prepare(self, params: dict[str, tf.Tensor]) -> tuple[Any, dict[str, tf.Tensor]]:
        """Returns what `__call__` needs of each example, from what `draw` returned."""
        size = self._source.source_size
        coordinates = warp.source_coordinates(params, size, self._size)
        return coordinates, {name: params[name] for name in self._used}

    def __call__(
        self,
        tensors: tuple[tf.Tensor, tf.Tensor],
        prepared: tuple[Any, dict[str, tf.Tensor]],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns image and mask of one example, see `warp.warp`."""
        return self._warp(*tensors, *prepared, self._table, self._source.factors)
