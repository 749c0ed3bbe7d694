"""Scores of a split, frame by frame, at each mask's own resolution."""

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from model.evaluation import rocks
from model.evaluation.calibration import calibration_counts
from model.inference.predictor import Prediction, Predictor
from model.inference.rocks import is_rock
from model.network.metrics import confusion_matrix, scores_from_confusion

# How many of the worst and of the best frames are kept for the report.
NUM_PICTURED = 4


@dataclasses.dataclass(frozen=True)
class FrameScores:
    """Counts of one frame; sums of these over frames give every score.

    Attributes:
        frame_id: str.
        confusion: int64 [C, C], pixels, rows the truth.
        calibration: float64 [3, bins], see `calibration_counts`.
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


def evaluate(
    predictor: Predictor,
    examples: Iterable[dict[str, Any]],
    *,
    num_pictured: int = NUM_PICTURED,
    progress: Callable[[int], Any] | None = None,
) -> Evaluation:
    """Returns the scores of every example; probabilities are resized to its mask.

    Args:
        predictor: `Predictor`, or an object with its `class_names`, `batch_size` and
            `predict_each`.
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
    frames: list[FrameScores] = []
    gallery = _Gallery(num_pictured, predictor.class_names)
    examples = iter(examples)
    while batch := list(itertools.islice(examples, predictor.batch_size)):
        masks = [np.asarray(example["mask"]) for example in batch]
        predictions = predictor.predict_each(
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
            gallery.add(scores, example["image"], mask, prediction.mask)
        if progress is not None:
            progress(len(frames))
    if not frames:
        raise ValueError("there are no examples to score: the split is empty")
    worst, best = gallery.pictures(len(frames))
    return Evaluation(tuple(predictor.class_names), frames, worst, best)


def score_frame(
    mask: np.ndarray,
    prediction: Prediction,
    class_names: tuple[str, ...],
    *,
    frame_id: str = "",
    defects: tuple[str, ...] = (),
) -> FrameScores:
    """Returns the `FrameScores` of a `Prediction` at the mask's size.

    Args:
        mask: int [height, width], the truth.
        prediction: `Prediction` of the same height and width.
        class_names: by class id.
        frame_id: str.
        defects: names of defect lists.
    """
    confusion = confusion_matrix(
        mask[np.newaxis].astype(np.int32),
        prediction.mask[np.newaxis].astype(np.int32),
        num_classes=len(class_names),
    ).numpy()
    return FrameScores(
        frame_id,
        confusion,
        calibration_counts(mask, prediction),
        rocks.scores_by_size(is_rock(mask), is_rock(prediction.mask)),
        tuple(defects),
    )


class _Gallery:
    """Keeps the pictures of the frames with the lowest and highest mean IoU."""

    def __init__(self, size: int, class_names: tuple[str, ...]):
        self.size, self.class_names = size, class_names
        # Worst and best: the sign of what is kept.
        self.heaps: dict[int, list[tuple[float, int, PicturedFrame]]] = {-1: [], 1: []}
        self.count = itertools.count()

    def add(
        self,
        frame: FrameScores,
        image: np.ndarray,
        mask: np.ndarray,
        predicted_mask: np.ndarray,
    ) -> None:
        score = scores_from_confusion(frame.confusion, self.class_names)["mean_iou"]
        picture = PicturedFrame(
            frame.frame_id, score, np.asarray(image), mask, predicted_mask
        )
        for sign, heap in self.heaps.items():
            heapq.heappush(heap, (sign * score, next(self.count), picture))
            if len(heap) > self.size:
                heapq.heappop(heap)

    def pictures(
        self, num_frames: int
    ) -> tuple[list[PicturedFrame], list[PicturedFrame]]:
        """Returns (worst, best); a short split is halved between them."""
        worst, best = (
            [item[-1] for item in sorted(heap, key=lambda item: item[:2], reverse=True)]
            for heap in self.heaps.values()
        )
        worst = worst[: max(1, num_frames // 2)]
        shown = {picture.frame_id for picture in worst}
        return worst, [p for p in best if p.frame_id not in shown]


def _names(defects: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, is_listed in defects.items() if bool(is_listed))


def _text(value: Any) -> str:
    value = value.numpy() if hasattr(value, "numpy") else value
    return value.decode() if isinstance(value, bytes) else str(value)
