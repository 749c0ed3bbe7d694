"""The order of an epoch's examples, place by place.

Asking for the examples of one step costs what the step holds, however many examples
the dataset has: no epoch's order is ever made as a whole. The order is a bijection of
0 ... count - 1: a Feistel network (Luby and Rackoff 1988) over the next power of two,
applied again where it leads out of the range ("cycle walking", Black and Rogaway 2002).
"""

import tensorflow as tf

# Of the order that a seed gives; another number is another order.
ORDER_VERSION = 2
# Four make a Feistel network hard to tell from a random permutation (Luby and Rackoff);
# twice as many, since the halves of a small dataset's numbers have few bits.
ROUNDS = 8
# The finalizer of MurmurHash3 for 32 bits: each bit of the input changes half of the
# output's.
_MULTIPLIERS = (0x85EBCA6B, 0xC2B2AE35)
_LOW_32 = 0xFFFFFFFF


def permuted(places: tf.Tensor, count: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the numbers of the examples at some places of an epoch.

    Args:
        places: int64 [n], in [0, count).
        count: examples of the dataset, at least 1.
        seed: of the run.
        epoch: int64 scalar.

    Returns:
        int64 [n], in [0, count); over all places each number once.
    """
    bits = max(count - 1, 1).bit_length()
    seeds = tf.stack([tf.constant(seed, tf.int64), -1 - epoch])
    keys = tf.random.stateless_uniform([ROUNDS], seeds, None, None, tf.int32)
    keys = tf.unstack(tf.bitwise.bitwise_and(tf.cast(keys, tf.int64), _LOW_32))

    def outside(numbers):
        return tf.reduce_any(numbers >= count)

    def walk(numbers):
        return [tf.where(numbers < count, numbers, _feistel(numbers, bits, keys))]

    # At least half of the numbers lie inside, so that few are left after a few walks.
    (numbers,) = tf.while_loop(outside, walk, [_feistel(places, bits, keys)])
    return numbers


def permutation(count: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the whole order of an epoch: int64 [count], each number once."""
    epoch = tf.cast(epoch, tf.int64)
    return permuted(tf.range(count, dtype=tf.int64), count, seed, epoch)


def _feistel(numbers, bits, keys):
    """Returns a bijection of the numbers of so many bits, int64 [n]."""
    low_bits = bits // 2
    widths = bits - low_bits, low_bits
    high = tf.bitwise.right_shift(numbers, low_bits)
    low = numbers & ((1 << low_bits) - 1)
    for index, key in enumerate(keys):
        # The halves take turns, so that each keeps its number of bits.
        if index % 2:
            low = low ^ (_hash(high + key) & ((1 << widths[1]) - 1))
        else:
            high = high ^ (_hash(low + key) & ((1 << widths[0]) - 1))
    return tf.bitwise.left_shift(high, low_bits) | low


def _hash(numbers):
    """Returns 32 well-mixed bits of each int64."""
    for multiplier, shift in zip((None, *_MULTIPLIERS), (16, 13, 16), strict=True):
        if multiplier is not None:
            numbers = (numbers * multiplier) & _LOW_32
        numbers = numbers ^ tf.bitwise.right_shift(numbers, shift)
    return numbers & _LOW_32
