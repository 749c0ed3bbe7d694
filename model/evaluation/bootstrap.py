"""Bootstrap over frames: intervals of scores, and of changes against a baseline."""

import math
from typing import Any

import numpy as np

from model.network.metrics import scores_from_confusion

# Frames drawn with replacement, this many times, give the intervals.
BOOTSTRAP_RESAMPLES = 2000
# Percentiles of a 95 % interval.
INTERVAL = (2.5, 97.5)


def bootstrap_scores(
    confusions: np.ndarray, class_names: tuple[str, ...], *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Returns each score of `BOOTSTRAP_RESAMPLES` draws of frames with replacement.

    Args:
        confusions: int64 [frames, C, C].
        class_names: by class id.
        seed: of the draws; equal seeds and frame counts draw the same frames.

    Returns:
        dict from the names of `scores_from_confusion` to float64 [resamples].
    """
    frames = len(confusions)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(frames, np.full(frames, 1 / frames), BOOTSTRAP_RESAMPLES)
    totals = np.tensordot(weights, confusions, axes=1)
    draws = [scores_from_confusion(total, class_names) for total in totals]
    return {name: np.array([draw[name] for draw in draws]) for name in draws[0]}


def interval(values: np.ndarray) -> list[float] | None:
    """Returns [low, high] of the draws that have a score, or None where none has."""
    known = values[np.isfinite(values)]
    return np.percentile(known, INTERVAL).tolist() if len(known) else None


def compare(
    metrics: dict[str, Any], baseline: dict[str, Any], *, seed: int = 0
) -> dict[str, Any]:
    """Returns how the scores changed against a baseline on the same frames.

    A paired bootstrap: each draw takes the same frames from both.

    Args:
        metrics: dict as in metrics.json.
        baseline: dict as in metrics.json.
        seed: of the draws.

    Returns:
        dict with `worse` (the 95 % interval of the change in mean IoU lies below 0),
        and `changes`: for each score its change and interval.

    Raises:
        ValueError: the two were scored on different frames, masks or classes.
    """
    baseline = _aligned(metrics, baseline)
    names = metrics["class_names"]
    draws, totals = [], []
    for scored in (metrics, baseline):
        confusions = np.array([f["confusion_matrix"] for f in scored["frames"]])
        draws.append(bootstrap_scores(confusions, names, seed=seed))
        totals.append(scores_from_confusion(confusions.sum(axis=0), names))
    bounds = {name: interval(draws[0][name] - draws[1][name]) for name in draws[0]}
    changes = {
        name: {
            "change": none_if_nan(totals[0][name] - totals[1][name]),
            "interval_95": bounds[name],
        }
        for name in totals[0]
    }
    change = bounds["mean_iou"]
    return {"worse": change is not None and change[1] < 0, "changes": changes}


def check_comparable(
    baseline: dict[str, Any], mask: str, class_names: list[str], frame_ids: list[str]
) -> None:
    """Checks before any scoring that a baseline will be of the same frames.

    Args:
        baseline: dict as in metrics.json.
        mask: kind of the masks to score against.
        class_names: of the model.
        frame_ids: of the frames to score.

    Raises:
        ValueError: it was scored on other frames, masks or classes.
    """
    try:
        frames = {frame["frame_id"] for frame in baseline["frames"]}
        kind = baseline["mask"], baseline["class_names"]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the baseline is not a metrics.json of evaluate.py: it lacks {error}"
        ) from None
    if kind != (mask, class_names):
        raise ValueError(
            f"the baseline was scored against {kind[0]} masks of {kind[1]}, this run "
            f"against {mask} masks of {class_names}. Use one --mask"
        )
    different = sorted(set(frame_ids) ^ frames)
    if different:
        raise ValueError(
            f"the baseline holds other frames: {len(frames)} against {len(frame_ids)} "
            f"here, {len(different)} not in both, such as {', '.join(different[:3])}. "
            "Score both on the same --split and --protocol"
        )


def _aligned(metrics: dict[str, Any], baseline: dict[str, Any]) -> dict[str, Any]:
    """Returns the baseline with its frames in the order of those of `metrics`."""
    here = [frame["frame_id"] for frame in metrics["frames"]]
    check_comparable(baseline, metrics["mask"], metrics["class_names"], here)
    try:
        frames = {frame["frame_id"]: frame for frame in baseline["frames"]}
        truths = {
            name: np.sum(frame["confusion_matrix"], axis=1)
            for name, frame in frames.items()
        }
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the baseline is not a metrics.json of evaluate.py: it lacks {error}"
        ) from None
    for frame in metrics["frames"]:
        truth = np.sum(frame["confusion_matrix"], axis=1)
        if not np.array_equal(truth, truths[frame["frame_id"]]):
            raise ValueError(
                f"frame {frame['frame_id']} has another mask in the baseline: class "
                f"pixels {truths[frame['frame_id']].tolist()} against {truth.tolist()}."
                " Score both on the same dataset"
            )
    return baseline | {"frames": [frames[name] for name in here]}


def none_if_nan(value: float) -> float | None:
    """Returns a float, or None for nan: JSON has no nan."""
    return None if math.isnan(value) else float(value)
