"""Calibration: whether the likeliest class is right as often as its probability says.

Pixels are counted in equal-width bins of that probability, as in Guo et al. 2017
(arXiv:1706.04599).
"""

from typing import Any

import numpy as np

from model.inference.predictor import Prediction

CALIBRATION_BINS = 15


def calibration_counts(mask: np.ndarray, prediction: Prediction) -> np.ndarray:
    """Returns float64 [3, bins]: pixels, summed confidence and right pixels by bin.

    Args:
        mask: int [height, width], the truth.
        prediction: of the same height and width.
    """
    confidence = prediction.probabilities.max(axis=-1).ravel()
    bins = np.minimum(
        (confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1
    )
    right = (mask == prediction.mask).ravel()
    count = [
        np.bincount(bins, weights, CALIBRATION_BINS)
        for weights in (None, confidence, right)
    ]
    return np.stack(count).astype(np.float64)


def calibration_error(counts: np.ndarray) -> float:
    """Returns the expected calibration error: mean |confidence - accuracy|, in [0, 1].

    Over pixels, by bin (Guo et al. 2017, eq. 3).

    Args:
        counts: float64 [3, bins] of `calibration_counts`, summed over frames.
    """
    pixels, confidence, right = counts
    return float(np.abs(confidence - right).sum() / pixels.sum())


def calibration_table(counts: np.ndarray) -> list[dict[str, Any]]:
    """Returns a row for each bin, plain Python values; an empty bin has None.

    Args:
        counts: float64 [3, bins] of `calibration_counts`, summed over frames.
    """
    return [
        {
            "from": index / CALIBRATION_BINS,
            "to": (index + 1) / CALIBRATION_BINS,
            "pixels": int(pixels),
            "confidence": float(confidence / pixels) if pixels else None,
            "accuracy": float(right / pixels) if pixels else None,
        }
        for index, (pixels, confidence, right) in enumerate(counts.T)
    ]
