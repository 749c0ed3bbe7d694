"""Overlays leave ground alone; connected regions equal those of a flood fill."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lunar_tfds import image_arrays, palette


def test_overlay_leaves_ground_and_tints_the_rest():
    image = np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[palette.GROUND, palette.SKY], [palette.SMALL_ROCK, 3]], np.uint8)
    drawn = image_arrays.overlay(image, mask, 0.45)
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
    np.testing.assert_array_equal(image_arrays.borders(mask), border)
    drawn = image_arrays.overlay(image, mask, 0.4, border_opacity)
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
        strength[image_arrays.borders(mask)] = border_opacity
    strength = np.where(mask == palette.GROUND, 0, strength)[..., np.newaxis]
    blend = image * (1 - strength) + palette.colorize(mask) * strength
    drawn = image_arrays.overlay(image, mask, 0.37, border_opacity)
    np.testing.assert_array_equal(drawn, np.rint(blend))


def flood_fill(mask):
    """The textbook way, for comparison."""
    labels, areas = np.zeros(mask.shape, int), []
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        areas.append(0)
        stack = [start]
        labels[start] = len(areas)
        while stack:
            y, x = stack.pop()
            areas[-1] += 1
            for v in range(max(y - 1, 0), min(y + 2, mask.shape[0])):
                for u in range(max(x - 1, 0), min(x + 2, mask.shape[1])):
                    if mask[v, u] and not labels[v, u]:
                        labels[v, u] = len(areas)
                        stack.append((v, u))
    return labels, areas


masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@settings(max_examples=300)
@given(masks)
def test_regions_equal_a_flood_fill(mask):
    labels, areas = image_arrays.connected_regions(mask)
    expected_labels, expected_areas = flood_fill(mask)
    np.testing.assert_array_equal(labels, expected_labels)
    assert areas.tolist() == expected_areas


def test_a_spiral_is_one_region_and_large_noise_is_fast():
    spiral = np.zeros((61, 61), bool)
    for ring in range(0, 30, 2):
        spiral[ring, ring : 61 - ring] = spiral[60 - ring, ring : 61 - ring] = True
        spiral[ring : 61 - ring, 60 - ring] = spiral[ring + 2 : 61 - ring, ring] = True
        spiral[ring + 2, ring : ring + 3] = True
    assert len(image_arrays.connected_regions(spiral)[1]) == len(flood_fill(spiral)[1])
    noise = np.random.default_rng(0).random((480, 720)) < 0.4
    start = time.perf_counter()
    labels, areas = image_arrays.connected_regions(noise)
    assert areas.sum() == noise.sum() and labels.max() == len(areas)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("shape", [(5, 5), (1, 1)])
def test_an_empty_mask_has_no_regions(shape):
    labels, areas = image_arrays.connected_regions(np.zeros(shape, bool))
    assert not labels.any() and not len(areas)
