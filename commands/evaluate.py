"""Scores a checkpoint: `python evaluate.py --checkpoint=runs/vgg16_unet --split=test`.

Writes metrics.json and report.html. Exit status: 0 done, 1 an error, 3 the mean IoU is
clearly below the baseline's (its 95 % interval of the change lies below 0).
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
from absl import logging

from commands import common
from lunar_tfds import command_line, settings
from lunar_tfds.atomic_files import write_json, write_text
from lunar_tfds.opening import identity
from lunar_tfds.settings import setting
from model.evaluation import bootstrap, report, scoring, summary
from model.inference.output_folder import make_output_folder
from model.inference.predictor import Predictor, checkpoint_setting
from pipeline import batching, records, selection


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Settings of an evaluation."""

    checkpoint: str = checkpoint_setting()
    data_dir: str | None = settings.data_dir()
    split: str = settings.split("test", "TFDS split expression; `real`: Moon photos.")
    mask: str | None = selection.mask(
        None, "Masks to score against; those trained on by default."
    )
    protocol: str | None = selection.protocol()
    exclude_defects: tuple = selection.exclude_defects()
    tta: bool = common.tta()
    batch_size: int | None = common.batch_size()
    baseline: str | None = setting(
        None, "metrics.json of another run on the same frames.", is_path=True
    )
    output_dir: str = common.output_dir("evaluation")

    def __post_init__(self):
        settings.check(self)


def evaluate(config: EvaluateConfig) -> int:
    """Scores a split and writes the results; returns the exit status.

    Raises:
        ValueError: no such checkpoint, dataset, split or baseline, or a baseline of
            other frames.
        OSError: a result cannot be written.
    """
    report.check_packages()
    output = make_output_folder(config.output_dir)
    baseline = None
    if config.baseline:
        baseline = summary.read_metrics(config.baseline, "baseline")
    predictor = Predictor(
        config.checkpoint, tta=config.tta, batch_size=config.batch_size
    )
    builder = batching.open_dataset(config.data_dir)
    mask = config.mask or predictor.mask_kind
    chosen = selection.Selection(
        config.split, mask, config.exclude_defects, config.protocol
    )
    if baseline is not None:
        ids = records.frame_ids(builder, chosen)
        bootstrap.check_comparable(baseline, mask, list(predictor.class_names), ids)
    examples = batching.example_dataset(builder, chosen)
    progress = keras.utils.Progbar(int(examples.cardinality()), unit_name="frame")
    scored = scoring.evaluate(
        predictor, examples.as_numpy_iterator(), progress=progress.update
    )
    metrics = _origin(config, predictor, builder, mask) | summary.summarize(scored)
    problem = None
    if baseline is not None:
        try:
            metrics["comparison"] = bootstrap.compare(metrics, baseline)
            metrics["comparison"]["baseline"] = str(config.baseline)
        except ValueError as error:  # The scores themselves are not lost for it.
            problem = error
    page = report.render(metrics, scored)
    write_json(output / "metrics.json", metrics)
    write_text(output / "report.html", page)
    if problem is not None:
        raise ValueError(f"{problem}. The scores alone are in {output}") from problem
    return _announce(metrics, output)


def _origin(
    config: EvaluateConfig, predictor: Predictor, builder: Any, mask: str
) -> dict[str, Any]:
    """Returns what metrics.json says about how its numbers came about."""
    kept = ("epoch", "monitor", "score", "image_size", "mask")
    return {
        "split": config.split,
        "protocol": config.protocol,
        "exclude_defects": list(config.exclude_defects),
        "mask": mask,
        "tta": config.tta,
        "checkpoint": str(predictor.path),
        "checkpoint_details": {k: predictor.details.get(k) for k in kept},
        "dataset": identity(builder),
    }


def _announce(metrics: dict[str, Any], output: pathlib.Path) -> int:
    """Logs the result; returns the exit status."""
    low, high = metrics["confidence_intervals_95"]["mean_iou"]
    logging.info(
        "Mean IoU %.4f (95 %% interval %.4f to %.4f) on %d frames of %s. Report: %s",
        metrics["mean_iou"],
        low,
        high,
        metrics["num_examples"],
        metrics["split"],
        output / "report.html",
    )
    if "comparison" not in metrics:
        return command_line.EXIT_DONE
    change = metrics["comparison"]["changes"]["mean_iou"]
    logging.info(
        "Change of mean IoU against %s: %+.4f (95 %% interval %+.4f to %+.4f).",
        metrics["comparison"]["baseline"],
        change["change"],
        *change["interval_95"],
    )
    worse = metrics["comparison"]["worse"]
    return common.EXIT_WORSE if worse else command_line.EXIT_DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    return command_line.run(EvaluateConfig, evaluate, argv)
