import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from model.training.optimizers import WarmupCosine, build_optimizer, clip_gradients


def variables():
    kernel = keras.Variable(np.ones([2, 3], np.float32), name="kernel")
    bias = keras.Variable(np.ones([3], np.float32), name="bias")
    return [kernel, bias]


def apply(optimizer, weights, gradients, steps=1):
    for _ in range(steps):
        optimizer.apply([tf.constant(g, tf.float32) for g in gradients], weights)
    return [weight.numpy() for weight in weights]


def test_the_learning_rate_rises_and_falls():
    schedule = WarmupCosine(0.5, total_steps=12, warmup_steps=4)
    rates = [float(schedule(step)) for step in range(13)]
    np.testing.assert_allclose(rates[:4], [0.125, 0.25, 0.375, 0.5], rtol=1e-6)
    assert rates[4] == 0.5
    assert rates[6] == pytest.approx(0.25 * (1 + math.cos(math.pi / 4)))
    assert rates[8] == pytest.approx(0.25)
    assert rates[12] == pytest.approx(0, abs=1e-8)
    assert WarmupCosine.from_config(schedule.get_config()).total_steps == 12


def test_without_warmup_it_starts_at_the_peak():
    assert float(WarmupCosine(0.5, 10)(0)) == 0.5


def test_weight_decay_spares_biases_and_normalization():
    optimizer = build_optimizer(learning_rate=0.1, weight_decay=0.5, total_steps=100)
    kernel, bias = apply(optimizer, variables(), [np.zeros([2, 3]), np.zeros(3)])
    np.testing.assert_allclose(kernel, 1 - 0.1 * 0.5, rtol=1e-6)
    np.testing.assert_array_equal(bias, 1)


def test_one_step_is_adam_of_the_clipped_gradient():
    gradients = [np.full([2, 3], 3.0), np.full(3, -4.0)]
    norm = math.sqrt(6 * 9 + 3 * 16)
    optimizer = build_optimizer(learning_rate=0.1, weight_decay=0, total_steps=100)
    gradients = [tf.constant(g, tf.float32) for g in gradients]
    clipped = clip_gradients(gradients, tf.constant(norm, tf.float32), norm / 2)
    apply(optimizer, weights := variables(), clipped)
    # Adam's first step is the rate times the sign; its moments show the clipping.
    np.testing.assert_allclose(weights[0].numpy(), 0.9, rtol=1e-5)
    np.testing.assert_allclose(weights[1].numpy(), 1.1, rtol=1e-5)
    np.testing.assert_allclose(optimizer._momentums[0].numpy(), 0.1 * 1.5, rtol=1e-5)


def test_the_encoder_learns_at_its_share_of_the_rate():
    weights = variables()
    optimizer = build_optimizer(
        learning_rate=0.1,
        weight_decay=0,
        total_steps=100,
        encoder_variables=weights[:1],
        encoder_rate_scale=0.25,
    )
    kernel, bias = apply(optimizer, weights, [np.ones([2, 3]), np.ones(3)])
    np.testing.assert_allclose(kernel, 1 - 0.025, rtol=1e-5)
    np.testing.assert_allclose(bias, 1 - 0.1, rtol=1e-5)


def test_the_encoder_decays_at_its_share_of_the_rate():
    weights = variables() + variables()
    optimizer = build_optimizer(
        learning_rate=0.1,
        weight_decay=0.5,
        total_steps=100,
        encoder_variables=weights[:2],
        encoder_rate_scale=0.25,
    )
    zeros = [np.zeros([2, 3]), np.zeros(3)]
    encoder, _, decoder, bias = apply(optimizer, weights, zeros + zeros)
    np.testing.assert_allclose(encoder, 1 - 0.025 * 0.5, rtol=1e-6)
    np.testing.assert_allclose(decoder, 1 - 0.1 * 0.5, rtol=1e-6)
    np.testing.assert_array_equal(bias, 1)


def test_decay_and_step_are_those_of_keras():
    gradients = [np.full([2, 3], 0.5), np.full(3, -0.25)]
    ours = build_optimizer(learning_rate=0.1, weight_decay=0.5, total_steps=100)
    keras_own = keras.optimizers.AdamW(WarmupCosine(0.1, 100), weight_decay=0.5)
    keras_own.exclude_from_weight_decay(var_names=["bias"])
    expected = apply(keras_own, variables(), gradients, steps=3)
    for one, other in zip(
        apply(ours, variables(), gradients, 3), expected, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_clipping_can_be_left_out():
    gradients = [tf.fill([2, 3], 30.0), tf.ones(3)]
    assert clip_gradients(gradients, tf.constant(74.0), 0) is gradients


def test_clipping_leaves_small_gradients_and_shows_infinite_ones():
    small = clip_gradients([tf.constant([3.0, 4.0])], tf.constant(5.0), 6.0)
    np.testing.assert_array_equal(small[0], [3, 4])
    infinite = [tf.constant([np.inf, 4.0])]
    assert np.isnan(clip_gradients(infinite, tf.constant(np.inf), 1.0)[0][0])


def test_float16_scales_the_loss():
    settings = {"learning_rate": 1e-3, "weight_decay": 1e-3, "total_steps": 10}
    optimizer = build_optimizer(**settings, float16=True)
    weights = variables()
    optimizer.build(weights)
    assert float(optimizer.scale_loss(1.0)) == 2**15
    scaled = [np.full([2, 3], 2.0**15), np.full(3, 2.0**15)]
    plain = build_optimizer(**settings)
    expected = apply(plain, variables(), [np.ones([2, 3]), np.ones(3)])
    for one, other in zip(apply(optimizer, weights, scaled), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
