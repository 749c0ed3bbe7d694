"""Connected regions equal those of a flood fill."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lunar_tfds import regions


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
    labels, areas = regions.connected_regions(mask)
    expected_labels, expected_areas = flood_fill(mask)
    np.testing.assert_array_equal(labels, expected_labels)
    assert areas.tolist() == expected_areas


def test_a_spiral_is_one_region_and_large_noise_is_fast():
    spiral = np.zeros((61, 61), bool)
    for ring in range(0, 30, 2):
        spiral[ring, ring : 61 - ring] = spiral[60 - ring, ring : 61 - ring] = True
        spiral[ring : 61 - ring, 60 - ring] = spiral[ring + 2 : 61 - ring, ring] = True
        spiral[ring + 2, ring : ring + 3] = True
    assert len(regions.connected_regions(spiral)[1]) == len(flood_fill(spiral)[1])
    noise = np.random.default_rng(0).random((480, 720)) < 0.4
    start = time.perf_counter()
    labels, areas = regions.connected_regions(noise)
    assert areas.sum() == noise.sum() and labels.max() == len(areas)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("shape", [(5, 5), (1, 1)])
def test_an_empty_mask_has_no_regions(shape):
    labels, areas = regions.connected_regions(np.zeros(shape, bool))
    assert not labels.any() and not len(areas)
