"""The order of an epoch: a permutation, computed place by place."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lunar_tfds import command_line
from pipeline import benchmark_planning, order


def epoch_of(number):
    return tf.constant(number, tf.int64)


@settings(max_examples=60)
@given(st.integers(1, 3000), st.integers(0, 2**40), st.integers(0, 10**6))
def test_an_epoch_holds_each_number_once(count, seed, epoch):
    found = order.permutation(count, seed, epoch_of(epoch)).numpy()
    assert sorted(found.tolist()) == list(range(count))


@settings(max_examples=40)
@given(st.data())
def test_a_part_of_it_is_what_the_whole_has_there(data):
    count = data.draw(st.integers(1, 500))
    places = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=20))
    whole = order.permutation(count, 3, epoch_of(7)).numpy()
    part = order.permuted(tf.constant(places, tf.int64), count, 3, epoch_of(7))
    assert part.numpy().tolist() == whole[places].tolist()


@pytest.mark.parametrize("count", [10**7, 2**32])
def test_any_number_of_examples_will_do(count):
    places = tf.constant([0, 1, count // 2, count - 1], tf.int64)
    found = order.permuted(places, count, 0, epoch_of(0)).numpy()
    assert len(set(found.tolist())) == 4
    assert found.min() >= 0 and found.max() < count and found.max() > count // 100


def test_seeds_and_epochs_give_other_orders():
    found = {
        tuple(order.permutation(50, seed, epoch_of(epoch)).numpy().tolist())
        for seed in range(5)
        for epoch in range(5)
    }
    assert len(found) == 25


def test_the_order_looks_random():
    """Each number comes at each place alike, and neighbours tell nothing."""
    draw = tf.function(lambda epoch: order.permutation(18, 0, epoch))
    counts, epochs = np.zeros((18, 18)), 1000
    for epoch in range(epochs):
        counts[np.arange(18), draw(epoch_of(epoch)).numpy()] += 1
    expected = epochs / 18
    chi_square = ((counts - expected) ** 2 / expected).sum() / 17**2
    assert chi_square < 1.6  # 1 on average; 1.25 is its 99.9th percentile.

    whole = order.permutation(20000, 0, epoch_of(0)).numpy()
    following = np.corrcoef(whole[:-1], whole[1:])[0, 1]
    again = np.corrcoef(whole, order.permutation(20000, 0, epoch_of(1)).numpy())[0, 1]
    place = np.corrcoef(whole, np.arange(20000))[0, 1]
    assert max(abs(following), abs(again), abs(place)) < 0.03
    steps = collections.Counter((np.diff(whole) % 20000).tolist())
    assert steps.most_common(1)[0][1] < 12  # 1 each on average.


def test_the_benchmark_prints_both_tables(capsys):
    flags = ["p", "--rounds=1", "--steps=2", "--records=50"]
    planning = benchmark_planning.Planning, benchmark_planning.main
    assert command_line.run(*planning, flags) == 0
    printed = capsys.readouterr().out
    assert "10,000,000" in printed
    assert "index of 50 records" in printed and "8 bytes an example" in printed


def test_the_order_of_a_version_stays():
    """Another order must have another ORDER_VERSION: a saved run would go astray."""
    assert order.ORDER_VERSION == 3
    found = order.permutation(10, 0, epoch_of(0)).numpy().tolist()
    assert found == FIRST
    assert order.permutation(10, 1, epoch_of(5)).numpy().tolist() == OTHER


# `order.permutation(10, 0, 0)` and `(10, 1, 5)`.
FIRST = [7, 9, 1, 6, 2, 4, 3, 5, 8, 0]
OTHER = [0, 1, 4, 6, 8, 5, 2, 9, 7, 3]
