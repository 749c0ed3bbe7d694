"""The card of an artifact: its model's card, and how it compares to the checkpoint."""

import pathlib
from collections.abc import Sequence

from lunar_tfds.machine import num_cores
from model.evaluation.model_card import model_card
from model.export import formats
from model.export.placement import card_heading
from model.export.verification import Measured
from model.inference.predictor import Predictor

_SCORES = ("mean_iou", "mean_dice", "rock_iou", "pixel_accuracy")


def artifact_card(
    predictor: Predictor,
    checkpoint: Measured,
    artifact: Measured,
    output: pathlib.Path,
    split: str,
) -> str:
    """Returns the card's text, Markdown.

    Args:
        predictor: of the checkpoint.
        checkpoint: what was measured of it.
        artifact: what was measured of the artifact.
        output: where the artifact goes.
        split: that both were scored on.
    """
    names, size = predictor.class_names, predictor.image_size
    lines = [
        model_card(predictor.details, metrics=checkpoint.metrics | {"split": split}),
        card_heading(output),
        "",
        f"Format `{artifact.title}`, made from `{predictor.path.name}`. It takes other "
        "input than the Keras model above:",
        "",
        f"- Input `image`: uint8 [N, {size}, {size}, 3], RGB in 0..255: the frame "
        "resized bilinearly to that size.",
        f"- Output `mask`: int32 [N, {size}, {size}], class ids: "
        + ", ".join(f"{index} {name}" for index, name in enumerate(names))
        + ".",
        f"- Output `probabilities`: float32 [N, {size}, {size}, {len(names)}].",
        "",
        f"Scored on {checkpoint.metrics['num_examples']} frames of `{split}` at the "
        "masks' own resolution by running the file itself. Latency is the median of "
        f"{formats.TIMED_RUNS} runs of one image on {num_cores()} CPU cores, resizing "
        "and reading not counted; memory is all that a process held at most which did "
        "nothing else. The file names its classes, colours, input size and checkpoint "
        "(docs/deployment.md).",
        "",
        *(f"| {' | '.join(row)} |" for row in _table((checkpoint, artifact), names)),
    ]
    return "\n".join(lines) + "\n"


def _table(both: tuple[Measured, Measured], names: Sequence[str]) -> list[list[str]]:
    """Returns the rows of the table: the checkpoint beside the artifact."""
    metrics = [one.metrics for one in both]
    return [
        ["", *(one.title for one in both)],
        ["---"] * 3,
        *([s.replace("_", " "), *(score_text(m[s]) for m in metrics)] for s in _SCORES),
        *(
            [f"IoU {name}", *(score_text(m["iou_per_class"][name]) for m in metrics)]
            for name in names
        ),
        ["size, MB", *(f"{one.size_bytes / 1e6:.1f}" for one in both)],
        ["latency, ms an image", *(f"{one.cost.latency_ms:.1f}" for one in both)],
        ["memory, MB", *(megabytes(one.cost.memory_bytes) for one in both)],
    ]


def megabytes(num_bytes: int | None) -> str:
    """Returns bytes as a table has them, in MB."""
    return "not measured" if num_bytes is None else f"{num_bytes / 1e6:.0f}"


def score_text(value: float | None) -> str:
    """Returns a score in [0, 1] as a table has it."""
    return "absent" if value is None else f"{value:.4f}"
