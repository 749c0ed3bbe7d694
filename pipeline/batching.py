"""Batches of augmented images and masks from a built `lunar_rocks` dataset.

Every batch is a function of the seed, the epoch and the step. A dataset of steps is
mapped to example numbers, records, pixels and batches; parallel calls, replicas and
workers change who computes a batch and never what is in it. The one exception is a
tf.data service of several workers, which changes the order of steps.

Each epoch goes through a full permutation of the examples, whatever the cache: records
and cached pixels are read by number, so there is no shuffle buffer, whose size would
limit how well examples are mixed and how much memory they hold. At any time there are
as many decoded examples in memory as parallel calls and waiting batches need.
"""

import tensorflow as tf

from lunar_tfds import palette
from lunar_tfds.opening import open_dataset
from pipeline import cache as caches
from pipeline import execution, pixels, records, warp
from pipeline.augmentation import Augmentation, draw
from pipeline.records import resolve_split
from pipeline.resize import output_size

__all__ = [
    "Augmentation",
    "evaluation_dataset",
    "example_dataset",
    "num_examples",
    "open_dataset",
    "resolve_split",
    "steps_per_epoch",
    "training_dataset",
]


def num_examples(builder, split, *, exclude_defects=(), protocol=None):
    """Returns how many examples a split has after filters; see `records.find`."""
    return len(
        records.find(builder, split, exclude_defects=exclude_defects, protocol=protocol)
    )


def steps_per_epoch(num_examples, global_batch_size):
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
    builder,
    split="train",
    *,
    mask="ground",
    image_size=512,
    global_batch_size=8,
    augmentation=Augmentation(),  # noqa: B008, it is frozen.
    cache="none",
    cache_dir=None,
    cache_channels=3,
    seed=0,
    start_epoch=0,
    start_step=0,
    input_context=None,
    one_hot=False,
    exclude_defects=(),
    protocol=None,
    xla=True,
    data_service=None,
):
    """Returns endless training batches of static shape.

    An epoch holds each example at most once and leaves out fewer than one global
    batch of them, others in each epoch. Steps count from `start_epoch` and
    `start_step`, and what comes is what an uninterrupted run gives from there: what
    came before is not read.

    Args:
        builder: a built `tfds.core.DatasetBuilder` of `lunar_rocks`.
        split: a TFDS split of renders or, with a protocol, one of the protocol's.
        mask: 'ground' or 'clean'.
        image_size: int or (height, width), px.
        global_batch_size: examples in a step over all replicas.
        augmentation: `Augmentation`, or None for none.
        cache: 'none', 'memory' or 'disk': where decoded pixels are kept. The first
            use decodes every example before the first batch.
        cache_dir: folder of the disk cache.
        cache_channels: 1 caches the mean of the three channels, in two fifths of the
            memory and read faster; in the renders, which are near-grey, no channel is
            further than 3 of 255 from it. Photos lose their colour. 3 keeps all.
        seed: int.
        start_epoch: int.
        start_step: int, steps into that epoch.
        input_context: `tf.distribute.InputContext` of one worker, or None: all.
        one_hot: masks as float32 [b, H, W, 4] instead of ids.
        exclude_defects: names of defect lists whose frames are left out.
        protocol: None, or a name in `protocols.PROTOCOLS`.
        xla: False runs the same ops uncompiled: same ids, pixels within 1e-5.
        data_service: address of a tf.data service dispatcher, 'grpc://host:port',
            whose workers then read and warp; all must reach the dataset's files. With
            one of them all stays as said. Several hand out steps in the order in which
            they finish: steps near the end of an epoch may come in the next one, a
            start in the middle of a run may repeat or miss a few, and each
            `input_context` has an order of its own. Steps stay whole in each.

    Returns:
        tf.data.Dataset of (image float32 [b, H, W, 3] in [0, 1], mask int32
        [b, H, W]); b is the batch of one replica, global_batch_size / replicas, for
        `strategy.distribute_datasets_from_function`.

    Raises:
        ValueError: an argument is out of range; see `records.find`, `caches` and
            `replica_share` for the rest.
    """
    _check_start(start_epoch, start_step, data_service, cache)
    size = output_size(image_size)
    examples = _find(builder, split, exclude_defects, protocol)
    if examples.varied_sizes:
        raise ValueError(
            f"Training reads frames of one size: split {split!r} holds photos. Leave "
            "'real' out; evaluation_dataset reads it."
        )
    steps = steps_per_epoch(len(examples), global_batch_size)
    replicas, batch_size = replica_share(global_batch_size, input_context)
    source = pixels.Source(examples, mask, size, grey=_is_grey(cache_channels))
    selected = split, mask, exclude_defects, protocol
    stored = _stored(cache, cache_dir, builder, examples, source, selected)
    served = data_service is not None
    own = slice(replicas.start * batch_size, replicas.stop * batch_size)
    read = _reader(source, stored)
    warped = Warp(source, size, augmentation, xla)

    def plan(step):
        """Returns (number, what is done to it) of each own example of a step."""
        order = permutation(len(examples), seed, step // steps)
        numbers = order[step % steps * global_batch_size :][:global_batch_size][own]
        changes = draw(augmentation, seed, step, global_batch_size)
        return numbers, warped.prepare({k: v[own] for k, v in changes.items()})

    def augmented(number, prepared):
        return _finish(*warped(read(number), prepared), one_hot)

    start = start_epoch * steps + start_step
    dataset = tf.data.Dataset.range(start, tf.int64.max)
    dataset = execution.mapped(dataset, plan, served).unbatch()
    dataset = execution.mapped_batches(dataset, augmented, batch_size, served)
    if served:
        dataset = _served(dataset, data_service, len(replicas))
    return execution.ready(dataset)


def evaluation_dataset(
    builder,
    split="validation",
    *,
    mask="ground",
    image_size=512,
    global_batch_size=8,
    cache="none",
    cache_dir=None,
    cache_channels=3,
    input_context=None,
    one_hot=False,
    exclude_defects=(),
    protocol=None,
    xla=True,
):
    """Returns batches that hold each example exactly once, in a fixed order.

    The last batch is padded to its full size by repeating the first example with
    weight 0, so shapes are static and every worker gets the same number of batches.
    The images are those of `resize.resize_image`. Photos (split 'real'), whose sizes
    vary, are not cached.

    Args:
        builder: see `training_dataset`, as for all that follow.
        split: any TFDS split or, with a protocol, one of the protocol's.
        mask: 'ground' or 'clean'.
        image_size: int or (height, width), px.
        global_batch_size: examples in a step over all replicas.
        cache: 'none', 'memory' or 'disk'.
        cache_dir: folder of the disk cache.
        cache_channels: 3, or 1 for grey.
        input_context: `tf.distribute.InputContext` of one worker, or None: all.
        one_hot: masks as float32 [b, H, W, 4] instead of ids.
        exclude_defects: names of defect lists whose frames are left out.
        protocol: None, or a name in `protocols.PROTOCOLS`.
        xla: False runs the same ops uncompiled.

    Returns:
        tf.data.Dataset of (image float32 [b, H, W, 3] in [0, 1], mask int32
        [b, H, W], sample_weight float32 [b], 1 or 0).

    Raises:
        ValueError: see `training_dataset`.
    """
    size = output_size(image_size)
    examples = _find(builder, split, exclude_defects, protocol)
    replicas, batch_size = replica_share(global_batch_size, input_context)
    if examples.varied_sizes:
        read = pixels.resized(examples, mask, size)
    else:
        source = pixels.Source(examples, mask, size, grey=_is_grey(cache_channels))
        selected = split, mask, exclude_defects, protocol
        stored = _stored(cache, cache_dir, builder, examples, source, selected)
        read = _identical(_reader(source, stored), Warp(source, size, None, xla))

    def plan(step):
        """Returns (number, weight) of each own example of a step."""
        places = tf.range(replicas.start * batch_size, replicas.stop * batch_size)
        numbers = step * global_batch_size + tf.cast(places, tf.int64)
        inside = numbers < len(examples)
        return tf.where(inside, numbers, 0), tf.cast(inside, tf.float32)

    def resized(number, weight):
        return *_finish(*read(number), one_hot), weight

    steps = -(-len(examples) // global_batch_size)
    dataset = execution.mapped(tf.data.Dataset.range(steps), plan).unbatch()
    return execution.ready(execution.mapped_batches(dataset, resized, batch_size))


def example_dataset(
    builder, split, *, mask="ground", exclude_defects=(), protocol=None
):
    """Returns the examples of a split once, in a fixed order, at their own size.

    Args:
        builder: see `training_dataset`, as for all that follow.
        split: any TFDS split or, with a protocol, one of the protocol's.
        mask: 'ground' or 'clean'.
        exclude_defects: names of defect lists whose frames are left out.
        protocol: None, or a name in `protocols.PROTOCOLS`.

    Returns:
        tf.data.Dataset of dicts: `image` uint8 [height, width, 3], `mask` int32
        [height, width], `frame_id` string, `objects` and `defects` as stored. A
        protocol's crop is applied to image and mask and not to the boxes of `objects`.
    """
    examples = _find(builder, split, exclude_defects, protocol)
    pixels.check_mask(mask)

    def load(number):
        example = examples.features.deserialize_example(examples.read(number))
        image, ids = pixels.crop(examples, example["image"], example[f"{mask}_mask"])
        kept = {k: example[k] for k in ("frame_id", "objects", "defects")}
        return kept | {"image": image, "mask": tf.cast(ids[..., 0], tf.int32)}

    dataset = tf.data.Dataset.range(len(examples))
    return execution.ready(execution.mapped(dataset, load))


def permutation(count, seed, epoch):
    """Returns the order of an epoch: int64 [count], each number once."""
    seeds = tf.stack([tf.constant(seed, tf.int64), -1 - epoch])
    keys = tf.random.stateless_uniform([count], seeds, None, None, tf.int32)
    return tf.cast(tf.argsort(keys, stable=True), tf.int64)


def replica_share(global_batch_size, input_context):
    """Returns (range of the replicas that this worker feeds, batch size of each).

    The one place where the global batch becomes the replica's batch.

    Raises:
        ValueError: the replicas cannot share the batch equally.
    """
    if global_batch_size < 1:
        raise ValueError(
            f"global_batch_size must be positive: got {global_batch_size}."
        )
    if input_context is None:
        return range(1), global_batch_size
    replicas = input_context.num_replicas_in_sync
    if global_batch_size % replicas:
        lower = global_batch_size // replicas * replicas
        remedy = " or ".join(str(n) for n in (lower, lower + replicas) if n)
        raise ValueError(
            "global_batch_size must be a multiple of the replica count: got "
            f"{global_batch_size} for {replicas} replicas. Use {remedy}."
        )
    local = replicas // input_context.num_input_pipelines
    start = input_context.input_pipeline_id * local
    return range(start, start + local), global_batch_size // replicas


def _check_start(start_epoch, start_step, data_service, cache):
    if min(start_epoch, start_step) < 0:
        raise ValueError(
            "start_epoch and start_step must not be negative: got "
            f"{start_epoch} and {start_step}."
        )
    if data_service is not None and cache != "none":
        raise ValueError(
            f"A tf.data service cannot read this process's cache: got {cache!r}. "
            "Use cache='none' with data_service."
        )


def _find(builder, split, exclude_defects, protocol):
    examples = records.find(
        builder, split, exclude_defects=exclude_defects, protocol=protocol
    )
    if not len(examples):
        raise ValueError(f"Split {split!r} holds no example. Choose another split.")
    return examples


def _is_grey(cache_channels):
    if cache_channels not in (1, 3):
        raise ValueError(f"cache_channels must be 1 or 3: got {cache_channels}.")
    return cache_channels == 1


def _stored(cache, cache_dir, builder, examples, source, selected):
    """Returns the cached words and masks of all examples, or None without a cache."""
    caches.check_cache(cache, cache_dir)
    if cache == "none":
        return None
    split, mask, exclude_defects, protocol = selected
    name = caches.fingerprint(
        builder,
        split,
        mask=mask,
        exclude_defects=sorted(exclude_defects),
        protocol=protocol,
        words=[str(spec) for spec in source.specs],
        factors=source.factors,
    )
    if cache == "memory":
        return caches.in_memory(source, len(examples), name)
    return caches.on_disk(source, len(examples), cache_dir, name)


def _reader(source, stored):
    """Returns a function from an example's number to its words and mask."""
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

    def __init__(self, source, size, augmentation, xla):
        """Compiles nothing yet; the first example does.

        Args:
            source: `pixels.Source`.
            size: (height, width) of the output, px.
            augmentation: `Augmentation`, or None for none.
            xla: whether to compile.
        """
        self._source, self._size = source, size
        self._used, self._table = ["gain", "bias"], None
        if augmentation is not None and augmentation.gamma:
            self._used += ["gamma"]
        if augmentation is not None and augmentation.noise:
            self._used += ["noise", "noise_start"]
            self._table = warp.noise_table(size[0] * size[1] * 3)
        self._warp = tf.function(warp.warp, jit_compile=xla, autograph=False)

    def prepare(self, changes):
        """Returns what `__call__` needs of each example, from what `draw` returned."""
        size = self._source.source_size
        coordinates = warp.source_coordinates(changes, size, self._size)
        return coordinates, {name: changes[name] for name in self._used}

    def __call__(self, tensors, prepared):
        """Returns image and mask of one example, see `warp.warp`."""
        return self._warp(*tensors, *prepared, self._table, self._source.factors)


def _finish(image, ids, one_hot):
    return image, tf.one_hot(ids, palette.NUM_CLASSES) if one_hot else ids
