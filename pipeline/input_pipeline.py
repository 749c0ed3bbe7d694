"""Batches of augmented images and masks from a built `lunar_rocks` dataset.

Every batch is a function of the seed, the epoch and the step. A dataset of steps is
mapped to example numbers, records, pixels and batches; parallel calls, replicas and
workers change who computes a batch and never what is in it.
"""

import tensorflow as tf

from lunar_tfds import palette
from pipeline import records, warp
from pipeline.augmentation import Augmentation, draw
from pipeline.records import resolve_split
from pipeline.resize import output_size, pool, pool_factors, resize_image

__all__ = [
    "Augmentation",
    "evaluation_dataset",
    "example_dataset",
    "num_examples",
    "resolve_split",
    "steps_per_epoch",
    "training_dataset",
]

MASKS = ("ground", "clean")


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
    seed=0,
    start_epoch=0,
    start_step=0,
    input_context=None,
    one_hot=False,
    exclude_defects=(),
    protocol=None,
    xla=True,
):
    """Returns endless training batches."""
    size = output_size(image_size)
    examples = records.find(
        builder, split, exclude_defects=exclude_defects, protocol=protocol
    )
    steps = steps_per_epoch(len(examples), global_batch_size)
    replicas, batch_size = replica_share(global_batch_size, input_context)
    first = start_epoch * steps + start_step

    def places(step):
        epoch, step_of_epoch = step // steps, step % steps
        order = permutation(len(examples), seed, epoch)
        numbers = order[step_of_epoch * global_batch_size :][:global_batch_size]
        place = tf.range(global_batch_size)
        own = slice(replicas.start * batch_size, replicas.stop * batch_size)
        steps_of = tf.fill([batch_size * len(replicas)], step)
        return steps_of, place[own], numbers[own]

    dataset = tf.data.Dataset.range(first, tf.int64.max).map(places).unbatch()
    source = pixel_source(examples, mask, size)

    def load(step, place, number):
        return step, place, *source(number)

    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    warp_batch = make_warp(size, augmentation, xla)

    def augment(step, place, images, masks):
        changes = draw(augmentation, seed, step[0], global_batch_size)
        changes = {k: tf.gather(v, place) for k, v in changes.items()}
        return finish(*warp_batch(images, masks, changes), one_hot)

    dataset = dataset.map(augment, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(2).with_options(_options())


def evaluation_dataset(
    builder,
    split="validation",
    *,
    mask="ground",
    image_size=512,
    global_batch_size=8,
    cache="none",
    cache_dir=None,
    input_context=None,
    one_hot=False,
    exclude_defects=(),
    protocol=None,
    xla=True,
):
    """Returns batches that hold each example once, the last one padded."""
    size = output_size(image_size)
    examples = records.find(
        builder, split, exclude_defects=exclude_defects, protocol=protocol
    )
    replicas, batch_size = replica_share(global_batch_size, input_context)
    steps = -(-len(examples) // global_batch_size)

    def places(step):
        place = step * global_batch_size + tf.range(
            replicas.start * batch_size, replicas.stop * batch_size, dtype=tf.int64
        )
        inside = place < len(examples)
        return tf.where(inside, place, 0), tf.cast(inside, tf.float32)

    dataset = tf.data.Dataset.range(steps).map(places).unbatch()
    if examples.varied_sizes:
        source = resized_source(examples, mask, size)
    else:
        source = pixel_source(examples, mask, size)

    def load(number, weight):
        return *source(number), weight

    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    warp_batch = make_warp(size, None, xla)

    def resize(images, masks, weights):
        if not examples.varied_sizes:
            changes = draw(None, 0, 0, batch_size)
            images, masks = warp_batch(images, masks, changes)
        return *finish(images, masks, one_hot), weights

    dataset = dataset.map(resize, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(2).with_options(_options())


def example_dataset(
    builder, split, *, mask="ground", exclude_defects=(), protocol=None
):
    """Returns the examples of a split once, in a fixed order, at their own size."""
    examples = records.find(
        builder, split, exclude_defects=exclude_defects, protocol=protocol
    )
    _check_mask(mask)

    def load(number):
        example = examples.features.deserialize_example(examples.read(number))
        image, ids = crop(examples, example["image"], example[f"{mask}_mask"])
        kept = {k: example[k] for k in ("frame_id", "objects", "defects")}
        return kept | {"image": image, "mask": tf.cast(ids[..., 0], tf.int32)}

    dataset = tf.data.Dataset.range(len(examples))
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(2).with_options(_options())


def permutation(count, seed, epoch):
    """Returns the order of an epoch: int32 [count], each number once."""
    keys = tf.random.stateless_uniform(
        [count],
        tf.stack([tf.constant(seed, tf.int64), -1 - epoch]),
        None,
        None,
        tf.int32,
    )
    return tf.argsort(keys, stable=True)


def replica_share(global_batch_size, input_context):
    """Returns (range of the replicas that this worker feeds, batch size of each).

    The one place where the global batch becomes the replica's batch.

    Raises:
        ValueError: the replicas cannot share the batch equally.
    """
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


def _check_mask(mask):
    if mask not in MASKS:
        raise ValueError(f"mask must be one of {MASKS}: got {mask!r}.")


def crop(examples, image, ids):
    """Returns image and mask cut to the protocol's part of a frame, if it has one."""
    if examples.crop is None:
        return image, ids
    top, left, height, width = examples.crop
    window = slice(top, top + height), slice(left, left + width)
    return image[window], ids[window]


def decoder(examples, mask):
    """Returns a function from an example's number to its decoded image and mask."""
    _check_mask(mask)
    spec = {
        "image": tf.io.FixedLenFeature([], tf.string),
        f"{mask}_mask": tf.io.FixedLenFeature([], tf.string),
    }

    def decode(number):
        parsed = tf.io.parse_single_example(examples.read(number), spec)
        image = tf.io.decode_png(parsed["image"], channels=3)
        ids = tf.io.decode_png(parsed[f"{mask}_mask"], channels=1)
        return crop(examples, image, ids)

    return decode


def pixel_source(examples, mask, size):
    """Returns a function from an example's number to its pixels before the warp."""
    decode = decoder(examples, mask)
    image, ids = decode(0)
    image_shape, mask_shape = image.shape, ids.shape
    factors = pool_factors(image_shape[:2], size)

    def source(number):
        image, ids = decode(number)
        image = pool(tf.ensure_shape(image, image_shape), factors)
        return image, tf.ensure_shape(ids, mask_shape)[..., 0]

    return source


def resized_source(examples, mask, size):
    """Returns a function from an example's number to its resized image and mask."""
    decode = decoder(examples, mask)

    def source(number):
        image, ids = decode(number)
        rows, columns = (
            tf.cast(
                (tf.range(target, dtype=tf.float64) + 0.5) * length / target, tf.int32
            )
            for length, target in zip(
                tf.unstack(tf.cast(tf.shape(ids)[:2], tf.float64)), size, strict=True
            )
        )
        ids = tf.gather(tf.gather(ids[..., 0], rows), columns, axis=1)
        return resize_image(image, size), tf.cast(ids, tf.int32)

    return source


def make_warp(size, augmentation, xla):
    """Returns a function (images, masks, changes) -> (images, masks) of `size`."""
    changes = augmentation or Augmentation(gamma=0, noise=0)
    table = warp.noise_table(size[0] * size[1] * 3) if changes.noise else None
    apply = tf.function(warp.warp, jit_compile=xla, autograph=False)

    def warp_batch(images, masks, drawn):
        pool_size = pool_factors(masks.shape[1:], size)
        coordinates = warp.source_coordinates(drawn, masks.shape[1:], size)
        used = ["gain", "bias"]
        used += ["gamma"] if changes.gamma else []
        used += ["noise", "noise_start"] if changes.noise else []
        return apply(
            images, masks, coordinates, {k: drawn[k] for k in used}, table, pool_size
        )

    return warp_batch


def finish(images, masks, one_hot):
    """Returns the batch with its masks as ids, or one-hot float32 in [0, 1]."""
    return images, tf.one_hot(masks, palette.NUM_CLASSES) if one_hot else masks


def _options():
    options = tf.data.Options()
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return options
