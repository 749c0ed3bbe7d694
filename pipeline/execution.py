"""How the datasets run: in order, on all cores, without tf.data's tuner.

The tuner would choose the number of parallel calls, and finds the number of cores. Its
thread sleeps for as long as the iterator has run before, up to a minute, and an
iterator that ends waits for it: each validation and the end of each run would last
seconds longer.
"""

from collections.abc import Callable

import tensorflow as tf

from lunar_tfds.machine import num_cores

# Batches, or examples, that wait for whoever takes them.
READY = 2


def mapped(
    dataset: tf.data.Dataset, function: Callable, elsewhere: bool = False
) -> tf.data.Dataset:
    """Returns the dataset mapped on all cores, its order kept.

    Args:
        dataset: tf.data.Dataset.
        function: of an element, without Python's control flow on tensors: AutoGraph,
            which would rewrite that, takes seconds and is left out.
        elsewhere: whether other machines run it, each on its own cores. There the
            tuner decides: nobody waits for an iterator of theirs to end.
    """
    calls = tf.data.AUTOTUNE if elsewhere else num_cores()
    function = tf.autograph.experimental.do_not_convert(function)
    return dataset.map(function, num_parallel_calls=calls)


def mapped_batches(
    dataset: tf.data.Dataset,
    function: Callable,
    batch_size: int,
    elsewhere: bool = False,
) -> tf.data.Dataset:
    """Returns batches of what `mapped` would return, whole ones alone.

    A call's results are copied into the batch right away, while they lie in the
    processor's cache, and not when the batch is full.
    """
    options = tf.data.Options()
    options.experimental_optimization.map_and_batch_fusion = True
    dataset = mapped(dataset, function, elsewhere)
    return dataset.batch(batch_size, drop_remainder=True).with_options(options)


def ready(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the dataset as it is handed out: prefetched, its options set."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return dataset.prefetch(READY).with_options(options)
