"""Single rocks of a mask: connected regions, their sizes, and scores by size."""

import numpy as np

# Lower edges of the size classes, as the diameter of a disk of equal area, px. A
# 720x480 frame shows most small rocks under 16 px.
SIZE_EDGES = (0, 8, 16, 32, 64)
# A rock counts as found when at least this share of its pixels is predicted rock.
FOUND_SHARE = 0.5


def connected_regions(mask):
    """Returns (labels, areas) of the 8-connected regions of a mask.

    Rows are cut into runs of set pixels; runs that touch in adjacent rows are joined by
    union-find with pointer jumping, in whole-array operations.

    Args:
        mask: bool [height, width].

    Returns:
        labels: int32 [height, width], 0 outside, regions from 1 in reading order.
        areas: int64 [number of regions], px.
    """
    mask = np.asarray(mask, bool)
    height, width = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    stops = np.nonzero(edges == -1)[1]
    roots = _join(len(rows), *_touching_runs(rows, starts, stops, width))
    ids = np.unique(roots, return_inverse=True)[1] + 1
    lengths = stops - starts
    labels = np.zeros((height, width), np.int32)
    labels[mask] = np.repeat(ids, lengths)
    return labels, np.bincount(ids, lengths)[1:].astype(np.int64)


def _touching_runs(rows, starts, stops, width):
    """Returns index arrays (upper, lower) of runs that touch, diagonally too."""
    stride = width + 2
    # Runs are sorted by row and column, so that those touching a run from the row
    # below are one slice: found by searching for its ends, one row down.
    first = np.searchsorted(rows * stride + stops, (rows + 1) * stride + starts)
    last = np.searchsorted(rows * stride + starts, (rows + 1) * stride + stops, "right")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(rows)), counts)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return upper, np.repeat(first, counts) + offsets


def _join(count, left, right):
    """Returns the smallest index in the component of each of `count` nodes."""
    parent = np.arange(count)
    while len(left):
        low = np.minimum(parent[left], parent[right])
        np.minimum.at(parent, parent[left], low)
        np.minimum.at(parent, parent[right], low)
        while True:
            jumped = parent[parent]
            if np.array_equal(jumped, parent):
                break
            parent = jumped
        keep = parent[left] != parent[right]
        left, right = left[keep], right[keep]
    return parent


def size_class(areas):
    """Returns the index into `SIZE_EDGES` of regions of these areas (px), int."""
    diameters = 2 * np.sqrt(np.asarray(areas, np.float64) / np.pi)
    return np.searchsorted(SIZE_EDGES, diameters, side="right") - 1


def size_names():
    """Returns how the size classes are called, such as `8 to 16 px`."""
    spans = zip(SIZE_EDGES, SIZE_EDGES[1:], strict=False)
    names = [f"{low} to {high} px" for low, high in spans]
    return [f"under {SIZE_EDGES[1]} px", *names[1:], f"{SIZE_EDGES[-1]} px and more"]


def scores_by_size(truth, prediction):
    """Returns pixel and rock counts of one frame by the size of the rock.

    Rock pixels of the truth belong to the class of their rock's size. Falsely predicted
    pixels belong to that of the largest true rock that their predicted region overlaps,
    or, where it overlaps none, to that of the region itself; so the columns sum to the
    frame's own true positives, false negatives and false positives.

    Args:
        truth: bool [height, width], rock or not.
        prediction: bool [height, width], rock or not.

    Returns:
        int64 [size classes, 5]: true positives, false positives and false negatives in
        pixels; rocks; rocks found.
    """
    counts = np.zeros((len(SIZE_EDGES), 5), np.int64)
    labels, areas = connected_regions(truth)
    regions, region_areas = connected_regions(prediction)
    both = truth & prediction
    hits = np.bincount(labels[both], minlength=len(areas) + 1)[1:]
    overlapped = np.zeros(len(region_areas), np.int64)
    np.maximum.at(overlapped, regions[both] - 1, areas[labels[both] - 1])
    false_positives = (
        region_areas - np.bincount(regions[both], minlength=len(region_areas) + 1)[1:]
    )
    region_size = size_class(np.where(overlapped, overlapped, region_areas))
    sizes = size_class(areas)
    np.add.at(counts[:, 0], sizes, hits)
    np.add.at(counts[:, 1], region_size, false_positives)
    np.add.at(counts[:, 2], sizes, areas - hits)
    np.add.at(counts[:, 3], sizes, 1)
    np.add.at(counts[:, 4], sizes, hits >= FOUND_SHARE * areas)
    return counts
