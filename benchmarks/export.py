"""Measures each format of export beside its checkpoint: scores, size, latency, memory.

    python -m benchmarks.export --checkpoint=starter,starter_lite --data_dir=drawn

Each file is made and run as export.py does; nothing of it is kept but the table, in
Markdown. Latency and memory are those of a process that does nothing else.
"""

import dataclasses
import pathlib
import sys
import tempfile
from collections.abc import Mapping

from benchmarks import harness
from lunar_tfds import command_line, settings
from lunar_tfds.settings import at_least, setting
from model.export import formats, verification
from model.export.card import megabytes, score_text
from model.export.sample_images import (
    FEWEST_IMAGES,
    calibration_images,
    examples_of,
)
from model.export.serving import Source, details_of
from model.export.verification import Measured
from model.inference.predictor import Predictor
from model.network import starter
from pipeline import batching


def _known_formats(values: tuple) -> str | None:
    """Return what the rule of --formats is, unless it is kept."""
    known = set(values) <= set(formats.FORMATS) and values
    return None if known else f"must be of {', '.join(formats.FORMATS)}"


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What to measure, and on what."""

    checkpoint: tuple = setting(
        (starter.NAME,), "Checkpoints, workdirs, starter or starter_lite."
    )
    formats: tuple = setting(
        tuple(formats.FORMATS), "Formats to measure.", _known_formats
    )
    data_dir: str | None = settings.data_dir()
    split: str = settings.split("test", "Split to score on.")
    calibration_split: str = setting("train", "Split of int8's calibration images.")
    calibration_images: int = setting(100, "How many of them.", at_least(FEWEST_IMAGES))

    def __post_init__(self):
        settings.check(self)


def measure(config: Benchmark, checkpoint: str) -> list[Measured]:
    """Return what was measured of a checkpoint and of each format.

    Raises:
        ValueError: what was asked for cannot be done; says what to pass.
    """
    chosen = {kind: formats.find(kind) for kind in config.formats}
    predictor = Predictor(checkpoint, batch_size=1)
    builder = batching.open_dataset(config.data_dir)
    scored = examples_of(builder, predictor, config.split)
    images = (
        calibration_images(
            examples_of(builder, predictor, config.calibration_split),
            predictor.image_size,
            config.calibration_images,
            config.calibration_split,
        )
        if any(kind.is_calibrated for kind in chosen.values())
        else ()
    )
    source = Source(
        predictor.model, predictor.image_size, details_of(predictor), images
    )
    measured = [verification.measure_checkpoint(predictor, scored)]
    with tempfile.TemporaryDirectory() as folder:
        for kind, its in chosen.items():
            path = pathlib.Path(folder, f"{kind}{its.suffix}")
            formats.write(source, path, kind)
            measured.append(
                verification.measure_artifact(predictor, path, kind, scored)
            )
    return measured


def table(measured: Mapping[str, list[Measured]]) -> str:
    """Return what was measured of each checkpoint as a table in Markdown."""
    names = list(next(iter(measured.values()))[0].metrics["iou_per_class"])
    titles = [
        "network",
        "format",
        "mean IoU",
        *names,
        "MB",
        "ms an image",
        "memory, MB",
    ]
    rows = [titles, ["---"] * len(titles)]
    for checkpoint, formats_of_it in measured.items():
        for one in formats_of_it:
            scores = one.mean_iou, *one.metrics["iou_per_class"].values()
            rows.append(
                [
                    checkpoint,
                    one.title,
                    *map(score_text, scores),
                    f"{one.size_bytes / 1e6:.1f}",
                    f"{one.cost.latency_ms:.0f}",
                    megabytes(one.cost.memory_bytes),
                ]
            )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(config: Benchmark) -> None:
    """Measure and print the table."""
    measured = {name: measure(config, name) for name in config.checkpoint}
    print(f"\n{harness.processor()}\n\n{table(measured)}")


if __name__ == "__main__":
    sys.exit(command_line.run(Benchmark, main))
