"""Masks laid over pictures."""

import numpy as np
import pytest

from lunar_tfds import palette, pictures


def test_overlay_leaves_ground_and_tints_the_rest():
    image = np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[palette.GROUND, palette.SKY], [palette.SMALL_ROCK, 3]], np.uint8)
    drawn = pictures.overlay(image, mask, 0.45)
    assert drawn[0, 0].tolist() == [100, 100, 100]
    assert drawn[0, 1].tolist() == [170, 55, 55]
    assert drawn[1, 0].tolist() == [55, 170, 55]
    assert drawn[1, 1].tolist() == [55, 55, 170]


@pytest.mark.parametrize("border_opacity", [0.0, 0.9])
def test_borders_of_classes_have_an_opacity_of_their_own(border_opacity):
    image = np.full((4, 4, 3), 100, np.uint8)
    mask = np.zeros((4, 4), np.uint8)
    mask[1:3, 1:] = palette.SKY
    border = np.array(
        [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 0, 0], [0, 1, 1, 1]], dtype=bool
    )
    np.testing.assert_array_equal(pictures.borders(mask), border)
    drawn = pictures.overlay(image, mask, 0.4, border_opacity)
    strong = round(100 + 155 * border_opacity)
    assert drawn[..., 0].tolist() == [
        *([100, 100, 100, 100], [100, strong, strong, strong]),
        *([100, strong, 162, 162], [100, 100, 100, 100]),
    ]


@pytest.mark.parametrize("border_opacity", [None, 0.9])
def test_an_overlay_is_the_rounded_blend_of_every_class_and_value(border_opacity):
    values = np.stack([np.roll(np.arange(256), 7 * c) for c in range(3)], axis=-1)
    image = np.repeat(values[np.newaxis], 16, axis=0).astype(np.uint8)
    mask = np.repeat(np.arange(16) % 8 // 2, 256).reshape(16, 256).astype(np.uint8)
    strength = np.full(mask.shape, 0.37)
    if border_opacity is not None:
        strength[pictures.borders(mask)] = border_opacity
    strength = np.where(mask == palette.GROUND, 0, strength)[..., np.newaxis]
    blend = image * (1 - strength) + palette.colorize(mask) * strength
    drawn = pictures.overlay(image, mask, 0.37, border_opacity)
    np.testing.assert_array_equal(drawn, np.rint(blend))
