"""What metrics.json holds of an evaluation: scores, intervals and tables."""

import json
import pathlib
from typing import Any

import numpy as np

from model.evaluation.bootstrap import bootstrap_scores, interval, none_if_nan
from model.evaluation.calibration import calibration_error, calibration_table
from model.evaluation.rocks import size_table
from model.evaluation.scoring import Evaluation, FrameScores
from model.network.metrics import scores_from_confusion

# Scores of all classes together, in metrics.json and in a model card.
SCORE_NAMES = ("mean_iou", "mean_dice", "rock_iou", "rock_dice", "pixel_accuracy")


def summarize(evaluation: Evaluation, *, seed: int = 0) -> dict[str, Any]:
    """Returns what metrics.json holds about an `Evaluation`.

    Returns:
        dict of plain Python values; a score that a class lacks is None.
    """
    names, frames = evaluation.class_names, evaluation.frames
    confusions = np.stack([frame.confusion for frame in frames])
    draws = bootstrap_scores(confusions, names, seed=seed)
    intervals = {name: interval(values) for name, values in draws.items()}
    calibration = np.sum([frame.calibration for frame in frames], axis=0)
    return {
        **_nested(_scores(confusions.sum(axis=0), names), names),
        "confidence_intervals_95": _nested(intervals, names),
        "expected_calibration_error": calibration_error(calibration),
        "confusion_matrix": confusions.sum(axis=0).tolist(),
        "class_names": list(names),
        "num_examples": len(frames),
        "calibration": calibration_table(calibration),
        "rock_sizes": size_table(np.sum([frame.sizes for frame in frames], axis=0)),
        "defect_lists": _defect_table(frames, names),
        "frames": [_frame(frame, names) for frame in frames],
    }


def read_metrics(path: str | pathlib.Path, what: str) -> dict[str, Any]:
    """Returns the dict in a metrics.json.

    Args:
        path: the file.
        what: what the user calls it, for the message.

    Raises:
        ValueError: it cannot be read, or is not a metrics.json.
    """
    try:
        metrics = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"cannot read the {what} {path}: {error}") from error
    if not isinstance(metrics, dict) or not {"split", "num_examples"} <= set(metrics):
        raise ValueError(f"the {what} {path} is not a metrics.json of evaluate.py")
    return metrics


def _scores(confusion: np.ndarray, names: tuple[str, ...]) -> dict[str, float | None]:
    scores = scores_from_confusion(confusion, names)
    return {name: none_if_nan(value) for name, value in scores.items()}


def _nested(scores: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Returns scores with `iou_<class>` and `dice_<class>` gathered by class."""
    per_class = {
        f"{kind}_per_class": {name: scores[f"{kind}_{name}"] for name in names}
        for kind in ("iou", "dice")
    }
    return {name: scores.get(name) for name in SCORE_NAMES} | per_class


def _defect_table(
    frames: list[FrameScores], names: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Returns scores of the frames on each defect list, and of those on none."""
    lists = sorted({name for frame in frames for name in frame.defects})
    groups = {name: [f for f in frames if name in f.defects] for name in lists}
    if lists:
        groups["on no list"] = [frame for frame in frames if not frame.defects]
    return {
        name: {
            "num_examples": len(group),
            **_nested(
                _scores(np.sum([f.confusion for f in group], axis=0), names), names
            ),
        }
        for name, group in groups.items()
        if group
    }


def _frame(frame: FrameScores, names: tuple[str, ...]) -> dict[str, Any]:
    scores = _scores(frame.confusion, names)
    return {
        "frame_id": frame.frame_id,
        "mean_iou": scores["mean_iou"],
        "rock_iou": scores.get("rock_iou"),
        "defects": list(frame.defects),
        "confusion_matrix": frame.confusion.tolist(),
    }
