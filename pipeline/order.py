"""The order of an epoch's examples, place by place.

Asking for the examples of one step costs what the step holds, however many examples
the dataset has: no epoch's order is ever made as a whole.
"""

import tensorflow as tf

# Of the order that a seed gives; another number is another order.
ORDER_VERSION = 3


def permuted(places: tf.Tensor, count: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the numbers of the examples at some places of an epoch.

    Args:
        places: int64 [n], in [0, count).
        count: examples of the dataset, 1 to 2**32.
        seed: of the run.
        epoch: int64 scalar.

    Returns:
        int64 [n], in [0, count); over all places each number once.
    """
    seeds = tf.stack([tf.constant(seed, tf.int64), -1 - epoch])
    # Mixed first: seeds that differ by 1 give orders that resemble each other.
    keys = tf.random.stateless_uniform([2], seeds, None, None, tf.int32)
    last = tf.constant(count - 1, tf.int64)
    return tf.random.experimental.index_shuffle(places, keys, last)


def permutation(count: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the whole order of an epoch: int64 [count], each number once."""
    epoch = tf.cast(epoch, tf.int64)
    return permuted(tf.range(count, dtype=tf.int64), count, seed, epoch)
