"""The one resample: geometry, pairing, photometry, and agreement of its two modes."""

import dataclasses
import math

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from pipeline import augmentation, warp
from pipeline.augmentation import Augmentation

SOURCE = (24, 36)
SIZE = (16, 16)
NO_CHANGE = {
    k: v[0].numpy().tolist() for k, v in augmentation.draw(None, 0, 0, 1).items()
}
compiled = warp.compiled(whole=True)


def run(image, ids, *, size=SIZE, xla=False, table=None, **changes):
    """Returns image and mask of one example warped by the named changes."""
    changes = {
        k: tf.constant([v], tf.float32) for k, v in (NO_CHANGE | changes).items()
    }
    coordinates = warp.source_coordinates(changes, image.shape[:2], size)
    used = ["gain", "bias", "gamma", "cast"] + (
        ["noise", "noise_start"] if table is not None else []
    )
    apply = compiled if xla else warp.warp
    warped, mask = apply(
        warp.pack(tf.constant(image)),
        tf.constant(ids),
        [c[0] for c in coordinates],
        {k: changes[k][0] for k in used},
        table,
        (1, 1),
    )
    return warped.numpy(), mask.numpy()


def pair(seed=0, source=SOURCE):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*source, 3), np.uint8)
    return image, rng.integers(0, 4, source, np.uint8)


geometry = {
    "angle": st.floats(-3.140625, 3.140625, width=32),
    "shift_x": st.floats(-0.5, 0.5, width=32),
    "shift_y": st.floats(-0.5, 0.5, width=32),
    "scale": st.floats(0.5, 2.0, width=32),
    "flip_x": st.sampled_from([-1.0, 1.0]),
    "flip_y": st.sampled_from([-1.0, 1.0]),
}


def test_identity_returns_the_input():
    image, ids = pair()
    warped, mask = run(image, ids, size=SOURCE)
    np.testing.assert_allclose(warped, image / 255.0, atol=1e-7)
    np.testing.assert_array_equal(mask, ids)


@pytest.mark.parametrize(("flip", "axis"), [("flip_x", 1), ("flip_y", 0)])
def test_a_flip_mirrors_and_twice_returns_the_input(flip, axis):
    image, ids = pair()
    warped, mask = run(image, ids, size=SOURCE, **{flip: -1.0})
    np.testing.assert_allclose(warped, np.flip(image, axis) / 255.0, atol=1e-7)
    np.testing.assert_array_equal(mask, np.flip(ids, axis))
    again = np.rint(warped * 255).astype(np.uint8), mask.astype(np.uint8)
    warped, mask = run(*again, size=SOURCE, **{flip: -1.0})
    np.testing.assert_allclose(warped, image / 255.0, atol=1e-7)
    np.testing.assert_array_equal(mask, ids)


@pytest.mark.parametrize("degrees", [-90, -30, 10, 90])
def test_a_rotation_is_counter_clockwise_about_the_centre(degrees):
    image = np.zeros((101, 101, 3), np.uint8)
    ids = np.zeros((101, 101), np.uint8)
    image[50, 80], ids[49:52, 79:82] = 255, 2  # 30 px right of the centre.
    warped, mask = run(image, ids, size=(101, 101), angle=math.radians(degrees))
    row = 50 - 30 * math.sin(math.radians(degrees))
    column = 50 + 30 * math.cos(math.radians(degrees))
    weights = warped[..., 0] / warped[..., 0].sum()
    rows, columns = np.mgrid[:101, :101]
    assert (weights * rows).sum() == pytest.approx(row, abs=0.3)
    assert (weights * columns).sum() == pytest.approx(column, abs=0.3)
    assert np.argwhere(mask == 2).mean(axis=0) == pytest.approx((row, column), abs=0.5)


def test_shift_scale_and_aspect_move_a_point_where_geometry_says():
    image, ids = np.zeros((40, 80, 3), np.uint8), np.zeros((40, 80), np.uint8)
    image[18:22, 58:62], ids[18:22, 58:62] = 255, 3  # Centred at (20, 60).
    warped, mask = run(image, ids, size=(40, 40), scale=1.5, shift_x=-0.25, shift_y=0.1)
    # 20 px right of the centre, scaled to 30, shifted by -20 of 80 and 4 of 40.
    expected = (20 + 4, (40 + 30 - 20) / 2)
    centre = np.argwhere(mask == 3).mean(axis=0) + 0.5
    assert centre == pytest.approx(expected, abs=0.5)
    bright = np.argwhere(warped[..., 0] > 0.5).mean(axis=0) + 0.5
    assert bright == pytest.approx(expected, abs=0.5)


@hypothesis.given(changes=st.fixed_dictionaries(geometry), seed=st.integers(0, 99))
@hypothesis.settings(max_examples=15)
def test_image_and_mask_move_together_and_ids_stay_ids(changes, seed):
    rng = np.random.default_rng(seed)
    ids = np.kron(rng.integers(0, 2, (4, 6)), np.ones((6, 6))).astype(np.uint8)
    image = np.repeat(255 * ids[..., None], 3, axis=-1).astype(np.uint8)
    warped, mask = run(image, ids, **changes)
    assert set(np.unique(mask)) <= set(np.unique(ids))
    # The nearest pixel weighs at least a quarter, so the two lie on one side of it.
    assert np.all(
        np.where(mask == 1, warped[..., 0] >= 0.2499, warped[..., 0] <= 0.7501)
    )
    agree = (warped[..., 0] > 0.5) == (mask == 1)
    assert np.all(agree | (np.abs(warped[..., 0] - 0.5) < 0.2501))


@hypothesis.given(changes=st.fixed_dictionaries(geometry), seed=st.integers(0, 99))
@hypothesis.settings(max_examples=10)
def test_compiled_and_uncompiled_agree(changes, seed):
    photometry = {"gain": 1.1, "bias": -0.05, "gamma": 0.8}
    table = warp.noise_table(SIZE[0] * SIZE[1] * 3)
    noise = {"noise": 0.02, "noise_start": 0.37}
    both = [
        run(*pair(seed), xla=xla, table=table, **changes, **photometry, **noise)
        for xla in (False, True)
    ]
    np.testing.assert_allclose(both[0][0], both[1][0], atol=1e-5)
    np.testing.assert_array_equal(both[0][1], both[1][1])


def test_a_bilinear_value_by_hand():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 1] = 100, 200, 40
    # One output pixel in the middle of four source pixels.
    warped, _ = run(image, np.zeros((2, 2), np.uint8), size=(1, 1))
    np.testing.assert_allclose(warped[0, 0] * 255, (25, 50, 10), rtol=1e-6)


def test_beyond_the_edge_lies_the_mirror_image():
    image, ids = pair()
    warped, mask = run(image, ids, size=SOURCE, shift_x=0.25)
    np.testing.assert_array_equal(mask[:, :9], np.flip(ids[:, :9], axis=1))
    np.testing.assert_allclose(warped[:, 9:], image[:, :-9] / 255.0, atol=1e-7)


def test_the_longest_side_is_warped_and_a_longer_one_refused():
    source = (2, warp.LONGEST_SIDE - 1)
    image, ids = pair(source=source)
    _, mask = run(image, ids, size=source, shift_x=-0.5)
    half = source[1] // 2
    np.testing.assert_array_equal(mask[:, :half], ids[:, half:])
    np.testing.assert_array_equal(mask[:, half:], np.flip(ids[:, half:], axis=1))
    image, ids = pair(source=(2, warp.LONGEST_SIDE + 1))
    with pytest.raises(ValueError, match="at most 16383 px: got 2x16384. Cut it"):
        run(image, ids)


def test_gain_bias_and_gamma():
    image, ids = pair()
    warped, _ = run(image, ids, size=SOURCE, gain=1.5, bias=0.1, gamma=2.0)
    expected = np.clip(image / 255.0 * 1.5 + 0.1, 0, 1) ** 2
    np.testing.assert_allclose(warped, expected, atol=1e-5)


@pytest.mark.parametrize("xla", [False, True])
def test_a_cast_scales_each_channel_of_its_own(xla):
    image, ids = pair()
    warped, _ = run(image, ids, size=SOURCE, xla=xla, gain=0.5, cast=[1.2, 1.0, 0.8])
    expected = image / 255.0 * 0.5 * [1.2, 1.0, 0.8]
    np.testing.assert_allclose(warped, expected, atol=1e-5)


def test_noise_has_the_deviation_asked_for_and_none_of_another_start():
    image = np.full((64, 64, 3), 128, np.uint8)
    ids = np.zeros((64, 64), np.uint8)
    table = warp.noise_table(64 * 64 * 3)
    one, two = (
        run(image, ids, size=(64, 64), table=table, noise=0.05, noise_start=start)[0]
        for start in (0.1, 0.6)
    )
    assert one.std() == pytest.approx(0.05, rel=0.05)
    assert one.mean() == pytest.approx(128 / 255, abs=0.002)
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.05


def test_grey_pixels_give_three_equal_channels():
    image, ids = pair()
    packed = warp.pack(tf.constant(image[..., :1]))
    changes = augmentation.draw(None, 0, 0, 1)
    coordinates = [c[0] for c in warp.source_coordinates(changes, SOURCE, SOURCE)]
    used = {k: changes[k][0] for k in ("gain", "bias")}
    warped, mask = warp.warp(packed, ids, coordinates, used, None, (1, 1))
    np.testing.assert_allclose(warped, np.repeat(image[..., :1], 3, -1) / 255.0, 1e-6)
    np.testing.assert_array_equal(mask, ids)


def test_draws_depend_on_seed_and_step_and_stay_within_strengths():
    strength = Augmentation(gamma=0.3, noise=0.1, vertical_flip=0.5, color=0.25)

    def draws(seed, step):
        drawn = augmentation.draw(strength, seed, tf.constant(step, tf.int64), 256)
        return {k: v.numpy() for k, v in drawn.items()}

    first = draws(1, 7)
    for name, value in draws(1, 7).items():
        np.testing.assert_array_equal(value, first[name])
    for other in (draws(2, 7), draws(1, 8)):
        assert all(np.any(other[name] != first[name]) for name in first)
    assert np.abs(first["angle"]).max() <= math.radians(strength.rotation)
    assert np.abs(first["angle"]).max() > 0.9 * math.radians(strength.rotation)
    assert np.abs(first["shift_x"]).max() <= strength.shift
    assert 1 / 1.2 <= first["scale"].min() < 0.9 < 1.1 < first["scale"].max() <= 1.2001
    assert 0.4 < (first["flip_x"] < 0).mean() < 0.6
    assert np.all(draws(1, 7)["noise"] <= 0.1)
    assert 0.8 <= first["cast"].min() < 0.85 < 1.2 < first["cast"].max() <= 1.2501
    assert np.abs(np.corrcoef(first["cast"].T)[0, 1]) < 0.3  # Each of its own.


def test_off_means_the_identity_and_default_never_turns_the_sky_down():
    off = dict.fromkeys((f.name for f in dataclasses.fields(Augmentation)), 0.0)
    drawn = augmentation.draw(Augmentation(**off), 0, tf.constant(3, tf.int64), 4)
    for name in set(drawn) - {"noise_start"}:
        expected = np.broadcast_to(NO_CHANGE[name], drawn[name].shape[1:])
        for value in drawn[name]:
            np.testing.assert_allclose(value, expected, err_msg=name)
    drawn = augmentation.draw(Augmentation(), 0, tf.constant(3, tf.int64), 64)
    assert np.all(drawn["flip_y"] == 1)


def test_a_strength_out_of_range_is_named():
    with pytest.raises(ValueError, match="--augment_rotation=-1.0: must be 0 to 180"):
        Augmentation(rotation=-1)


@pytest.mark.parametrize(
    ("channels", "pool", "noisy"),
    [(3, (1, 1), True), (1, (1, 1), False), (3, (2, 3), 0)],
)
def test_a_processor_does_not_change_what_is_compiled(channels, pool, noisy):
    """As a whole, with AVX-512, and in two parts, without: equal to the bit."""
    image, ids = pair()
    packed = warp.pack(tf.constant(image[:: pool[0], :: pool[1], :channels]))
    strength = Augmentation(vertical_flip=0.5, rotation=180, gamma=0.5, noise=0.05)
    params = augmentation.draw(strength, 0, tf.constant(1, tf.int64), 16)
    coordinates = warp.source_coordinates(params, SOURCE, SIZE)
    table = warp.noise_table(3 * SIZE[0] * SIZE[1]) if noisy else None
    names = ["gain", "bias", "gamma"] + ["noise", "noise_start"] * bool(noisy)
    whole, parts = warp.compiled(whole=True), warp.compiled(whole=False)
    for number in range(16):
        own = tuple(c[number] for c in coordinates)
        used = {name: params[name][number] for name in names}
        found = whole(packed, ids, own, used, table, pool)
        other = parts(packed, ids, own, used, table, pool)
        for one, same in zip(found, other, strict=True):
            np.testing.assert_array_equal(one, same)
