"""Scores of a split at each mask's own resolution, with intervals and calibration."""

import dataclasses
import heapq
import itertools
import math

import numpy as np

from model.inference import rocks
from model.network.metrics import ROCK_CLASSES, confusion_matrix, scores_from_confusion

# Equal-width bins of the confidence, as in Guo et al. 2017 (arXiv:1706.04599).
CALIBRATION_BINS = 15
# Frames drawn with replacement, this many times, give the intervals.
BOOTSTRAP_RESAMPLES = 2000
# Percentiles of a 95 % interval.
INTERVAL = (2.5, 97.5)
# How many of the worst and of the best frames are kept for the report.
NUM_PICTURED = 4


@dataclasses.dataclass(frozen=True)
class FrameScores:
    """Counts of one frame; sums of these over frames give every score.

    Attributes:
        frame_id: str.
        confusion: int64 [C, C], pixels, rows the truth.
        calibration: float64 [3, CALIBRATION_BINS]: pixels, summed confidence, right
            pixels.
        sizes: int64, see `rocks.scores_by_size`.
        defects: names of the author's defect lists that hold the frame.
    """

    frame_id: str
    confusion: np.ndarray
    calibration: np.ndarray
    sizes: np.ndarray
    defects: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class PicturedFrame:
    """A frame that the report shows.

    Attributes:
        frame_id: str.
        mean_iou: the frame's own.
        image: uint8 [height, width, 3].
        mask: int [h, w], the truth.
        predicted_mask: uint8 [h, w].
    """

    frame_id: str
    mean_iou: float
    image: np.ndarray
    mask: np.ndarray
    predicted_mask: np.ndarray


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All frames' counts, and the frames worth looking at.

    Attributes:
        class_names: by class id.
        frames: list of FrameScores, in the order of the split.
        worst: list of PicturedFrame, the lowest mean IoU first.
        best: list of PicturedFrame, the highest first; none that is among the worst.
    """

    class_names: tuple[str, ...]
    frames: list[FrameScores]
    worst: list[PicturedFrame]
    best: list[PicturedFrame]


def evaluate(predictor, examples, *, num_pictured=NUM_PICTURED, progress=None):
    """Returns the scores of every example; probabilities are resized to its mask.

    Args:
        predictor: `Predictor`, or a callable like it with `class_names`, `batch_size`.
        examples: iterable of dicts: image uint8 [H, W, 3], mask int [h, w] of class
            ids (of another size than the image in some photos), frame_id, and
            optionally defects, a dict of bools.
        num_pictured: worst and best frames to keep with their pictures.
        progress: called with the number of frames done after each batch.

    Returns:
        Evaluation.

    Raises:
        ValueError: no examples.
    """
    frames, gallery = [], _Gallery(num_pictured)
    examples = iter(examples)
    while batch := list(itertools.islice(examples, predictor.batch_size)):
        masks = [np.asarray(example["mask"]) for example in batch]
        predictions = predictor(
            [np.asarray(example["image"]) for example in batch],
            sizes=[mask.shape for mask in masks],
        )
        for example, mask, prediction in zip(batch, masks, predictions, strict=True):
            scores = score_frame(
                mask,
                prediction,
                predictor.class_names,
                frame_id=_text(example["frame_id"]),
                defects=_names(example.get("defects") or {}),
            )
            frames.append(scores)
            gallery.add(scores, example["image"], mask, prediction.mask, predictor)
        if progress is not None:
            progress(len(frames))
    if not frames:
        raise ValueError("there are no examples to score: the split is empty")
    worst, best = gallery.pictures(len(frames))
    return Evaluation(tuple(predictor.class_names), frames, worst, best)


def score_frame(mask, prediction, class_names, *, frame_id="", defects=()):
    """Returns the `FrameScores` of a `Prediction` at the mask's size.

    Args:
        mask: int [height, width], the truth.
        prediction: `Prediction` of the same height and width.
        class_names: by class id.
        frame_id: str.
        defects: names of defect lists.
    """
    num_classes = len(class_names)
    confusion = confusion_matrix(
        mask[np.newaxis].astype(np.int32),
        prediction.mask[np.newaxis].astype(np.int32),
        num_classes=num_classes,
    ).numpy()
    rock_ids = [class_names.index(n) for n in ROCK_CLASSES if n in class_names]
    return FrameScores(
        frame_id,
        confusion,
        calibration_counts(mask, prediction),
        rocks.scores_by_size(
            np.isin(mask, rock_ids), np.isin(prediction.mask, rock_ids)
        ),
        tuple(defects),
    )


def calibration_counts(mask, prediction):
    """Returns float64 [3, bins]: pixels, summed confidence and right pixels by bin."""
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


def calibration_error(counts):
    """Returns the expected calibration error: mean |confidence - accuracy|, in [0, 1].

    Over pixels, by bin of the likeliest class's probability (Guo et al. 2017, eq. 3).
    """
    pixels, confidence, right = counts
    return float(np.abs(confidence - right).sum() / pixels.sum())


def bootstrap_scores(confusions, class_names, *, seed=0):
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


def interval(values):
    """Returns [low, high] of the draws that have a score, or None where none has."""
    known = values[np.isfinite(values)]
    return np.percentile(known, INTERVAL).tolist() if len(known) else None


def summarize(evaluation, *, seed=0):
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
        "calibration": _calibration_table(calibration),
        "rock_sizes": _size_table(np.sum([frame.sizes for frame in frames], axis=0)),
        "defect_lists": _defect_table(frames, names),
        "frames": [_frame(frame, names) for frame in frames],
    }


def compare(metrics, baseline, *, seed=0):
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
    changes = {
        name: {
            "change": _number(totals[0][name] - totals[1][name]),
            "interval_95": interval(draws[0][name] - draws[1][name]),
        }
        for name in totals[0]
    }
    bounds = changes["mean_iou"]["interval_95"]
    return {"worse": bounds is not None and bounds[1] < 0, "changes": changes}


def _aligned(metrics, baseline):
    """Returns the baseline with its frames in the order of those of `metrics`."""
    try:
        frames = {frame["frame_id"]: frame for frame in baseline["frames"]}
        kinds = [(m["mask"], m["class_names"]) for m in (metrics, baseline)]
        truths = {
            name: np.sum(frame["confusion_matrix"], axis=1)
            for name, frame in frames.items()
        }
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"the baseline is not a metrics.json of evaluate.py: it lacks {error}"
        ) from None
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"the baseline was scored against {kinds[1][0]} masks of {kinds[1][1]}, "
            f"this run against {kinds[0][0]} masks of {kinds[0][1]}. Use one --mask"
        )
    here = [frame["frame_id"] for frame in metrics["frames"]]
    different = sorted(set(here) ^ set(frames))
    if different:
        raise ValueError(
            f"the baseline holds other frames: {len(frames)} against {len(here)} here, "
            f"{len(different)} not in both, such as {', '.join(different[:3])}. Score "
            "both on the same --split and --protocol"
        )
    for frame in metrics["frames"]:
        truth = np.sum(frame["confusion_matrix"], axis=1)
        if not np.array_equal(truth, truths[frame["frame_id"]]):
            raise ValueError(
                f"frame {frame['frame_id']} has another mask in the baseline: class "
                f"pixels {truths[frame['frame_id']].tolist()} against {truth.tolist()}."
                " Score both on the same dataset"
            )
    return baseline | {"frames": [frames[name] for name in here]}


class _Gallery:
    """Keeps the pictures of the frames with the lowest and highest mean IoU."""

    def __init__(self, size):
        self.size = size
        self.heaps = {-1: [], 1: []}  # Worst and best: the sign of what is kept.
        self.count = itertools.count()

    def add(self, frame, image, mask, predicted_mask, predictor):
        names = predictor.class_names
        score = scores_from_confusion(frame.confusion, names)["mean_iou"]
        picture = PicturedFrame(
            frame.frame_id, score, np.asarray(image), mask, predicted_mask
        )
        for sign, heap in self.heaps.items():
            heapq.heappush(heap, (sign * score, next(self.count), picture))
            if len(heap) > self.size:
                heapq.heappop(heap)

    def pictures(self, num_frames):
        """Returns (worst, best); a short split is halved between them."""
        worst, best = (
            [item[-1] for item in sorted(heap, key=lambda item: item[:2], reverse=True)]
            for heap in self.heaps.values()
        )
        worst = worst[: max(1, num_frames // 2)]
        shown = {picture.frame_id for picture in worst}
        return worst, [p for p in best if p.frame_id not in shown]


def _scores(confusion, names):
    scores = scores_from_confusion(confusion, names)
    return {name: _number(value) for name, value in scores.items()}


def _nested(scores, names):
    """Returns scores with `iou_<class>` and `dice_<class>` gathered by class."""
    per_class = {
        f"{kind}_per_class": {name: scores[f"{kind}_{name}"] for name in names}
        for kind in ("iou", "dice")
    }
    flat = ("mean_iou", "mean_dice", "rock_iou", "rock_dice", "pixel_accuracy")
    return {name: scores.get(name) for name in flat} | per_class


def _calibration_table(counts):
    pixels = np.where(counts[0] > 0, counts[0], np.nan)
    rows = zip(counts[0], counts[1] / pixels, counts[2] / pixels, strict=True)
    return [
        {
            "from": index / CALIBRATION_BINS,
            "to": (index + 1) / CALIBRATION_BINS,
            "pixels": int(count),
            "confidence": _number(confidence),
            "accuracy": _number(accuracy),
        }
        for index, (count, confidence, accuracy) in enumerate(rows)
    ]


def _size_table(counts):
    table = []
    for name, row in zip(rocks.size_names(), counts.tolist(), strict=True):
        hits, false_positives, misses, rocks_there, found = row
        union = hits + false_positives + misses
        table.append(
            {
                "size": name,
                "iou": hits / union if union else None,
                "true_positives": hits,
                "false_positives": false_positives,
                "false_negatives": misses,
                "rocks": rocks_there,
                "rocks_found": found,
            }
        )
    return table


def _defect_table(frames, names):
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


def _frame(frame, names):
    scores = _scores(frame.confusion, names)
    return {
        "frame_id": frame.frame_id,
        "mean_iou": scores["mean_iou"],
        "rock_iou": scores.get("rock_iou"),
        "defects": list(frame.defects),
        "confusion_matrix": frame.confusion.tolist(),
    }


def _number(value):
    """Returns a float, or None for nan: JSON has no nan."""
    return None if math.isnan(value) else float(value)


def _names(defects):
    return tuple(name for name, is_listed in defects.items() if bool(is_listed))


def _text(value):
    value = value.numpy() if hasattr(value, "numpy") else value
    return value.decode() if isinstance(value, bytes) else str(value)
