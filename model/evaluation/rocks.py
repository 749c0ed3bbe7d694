"""Scores by the size of a rock: how many are found, and how well."""

from typing import Any

import numpy as np

from lunar_tfds.image_arrays import connected_regions
from model.inference.rocks import SIZE_EDGES, size_class, size_names

# A rock counts as found when at least this share of its pixels is predicted rock.
FOUND_SHARE = 0.5


def scores_by_size(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
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


def size_table(counts: np.ndarray) -> list[dict[str, Any]]:
    """Returns a row of scores for each size class, plain Python values.

    Args:
        counts: int64 [size classes, 5], summed over frames, of `scores_by_size`.
    """
    table = []
    for name, row in zip(size_names(), counts.tolist(), strict=True):
        hits, false_positives, misses, rocks, found = row
        union = hits + false_positives + misses
        table.append(
            {
                "size": name,
                "iou": hits / union if union else None,
                "true_positives": hits,
                "false_positives": false_positives,
                "false_negatives": misses,
                "rocks": rocks,
                "rocks_found": found,
            }
        )
    return table
