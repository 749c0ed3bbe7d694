"""Exports a checkpoint: `python export.py --checkpoint=... --format=onnx --output=...`.

The artifact is run on a split of the dataset, and its scores, size and latency are put
beside the checkpoint's in OUTPUT.md. Exit status: 0 done, 1 an error, 3 the artifact
scores clearly lower than the checkpoint, and is not kept (see --allow_drop).
"""

import dataclasses
import pathlib
from collections.abc import Sequence

from absl import logging

from commands import common
from lunar_tfds import command_line, settings
from lunar_tfds.atomic_files import write_text
from lunar_tfds.ownership import owned
from lunar_tfds.settings import at_least, setting
from model.export import formats, placement, verification
from model.export.card import artifact_card
from model.export.sample_images import (
    FEWEST_IMAGES,
    calibration_images,
    examples_of,
)
from model.export.serving import Source, details_of
from model.inference.output_folder import make_output_folder
from model.inference.predictor import Predictor, checkpoint_setting
from pipeline import batching


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """What to export, and where to."""

    checkpoint: str = checkpoint_setting()
    format: str = setting(
        "saved_model", "What to write.", choices=tuple(formats.FORMATS)
    )
    output: str | None = setting(
        None,
        "File, or folder of a SavedModel, to write.",
        is_path=True,
        missing="pass the file or folder to write",
    )
    overwrite: bool = setting(
        False, "Replace what lies at --output though this command did not make it."
    )
    data_dir: str | None = settings.data_dir()
    split: str = settings.split("validation", "Split to score the artifact on.")
    calibration_split: str = setting("train", "Split of int8's calibration images.")
    calibration_images: int = setting(100, "How many of them.", at_least(FEWEST_IMAGES))
    allow_drop: bool = setting(
        False,
        "Keep the artifact though its mean IoU is over "
        f"{verification.LARGEST_DROP} lower, or a class's over "
        f"{verification.LARGEST_CLASS_DROP}.",
    )

    def __post_init__(self):
        settings.check(self)
        if formats.FORMATS[self.format].is_calibrated:
            return
        for name in ("calibration_split", "calibration_images"):
            if getattr(self, name) != getattr(ExportConfig, name):
                calibrated = (k for k, f in formats.FORMATS.items() if f.is_calibrated)
                raise ValueError(
                    f"--{name}={getattr(self, name)} does nothing with --format="
                    f"{self.format}: leave it out, or use --format="
                    f"{' or '.join(calibrated)}"
                )


def export(config: ExportConfig) -> int:
    """Exports, scores, and keeps the artifact if it is good; returns the exit status.

    Raises:
        ValueError: what was asked for cannot be done; says what to pass. Asked before
            the work, so that nothing is written.
        OSError: the disk is full.
    """
    output = pathlib.Path(config.output or "").resolve()
    with owned(output, "--output"):
        return _export(config, output)


def _export(config: ExportConfig, output: pathlib.Path) -> int:
    chosen = formats.find(config.format)
    placement.restore(output)
    predictor = Predictor(config.checkpoint, batch_size=1)
    placement.check_output(output, config.format, predictor.path, config.overwrite)
    make_output_folder(output.parent)
    builder = batching.open_dataset(config.data_dir)
    examples = examples_of(builder, predictor, config.split)
    source = Source(
        predictor.model,
        predictor.image_size,
        details_of(predictor),
        calibration_images(
            examples_of(builder, predictor, config.calibration_split),
            predictor.image_size,
            config.calibration_images,
            config.calibration_split,
        )
        if chosen.is_calibrated
        else (),
    )
    with placement.work_folder(output) as folder:
        made = folder / output.name
        with placement.clear_errors(output):
            formats.write(source, made, config.format)
        before = verification.measure_checkpoint(predictor, examples)
        after = verification.measure_artifact(predictor, made, config.format, examples)
        falls = verification.falls(before, after, predictor.class_names)
        if falls and not config.allow_drop:
            logging.error(
                "The artifact scores clearly lower: %s. So %s was not written. Pass "
                "--allow_drop to keep it, or use another --format.",
                *("; ".join(falls), output),
            )
            return common.EXIT_WORSE
        # The card first: it tells the next export that the artifact is its own.
        card = artifact_card(predictor, before, after, output, config.split)
        write_text(placement.card_path(output), card)
        placement.put(made, output)
    logging.info(
        "%s written: mean IoU %.4f, the checkpoint's %.4f. See %s",
        *(output, after.mean_iou, before.mean_iou, placement.card_path(output)),
    )
    return command_line.EXIT_DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status of the command line `argv`, by default the process's."""
    return command_line.run(ExportConfig, export, argv)
