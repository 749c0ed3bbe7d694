"""Segments people's own photos: `python predict.py --images=photos/`.

Writes NAME_mask.png, NAME_overlay.png and summary.csv. Exit status: 0 done, 1 an error,
2 some image could not be read and was left out.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from commands import common
from lunar_tfds import command_line, settings
from lunar_tfds.pictures import MAX_PIXELS
from lunar_tfds.settings import setting
from model.inference import result_files
from model.inference.image_files import ImageFile, find_images
from model.inference.output_folder import make_output_folder
from model.inference.predictor import Predictor, default_checkpoint
from model.network.checkpoints import DEFAULT_WORKDIR

# A file, its row of the summary, and its image; None where it cannot be read.
_Read = tuple[ImageFile, dict[str, Any], np.ndarray | None]


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Settings of a prediction."""

    checkpoint: str | None = setting(
        None,
        "A .keras file, a workdir: its best, or starter. By default "
        f"{DEFAULT_WORKDIR}, or starter where that holds no run.",
        is_path=True,
    )
    images: str | None = setting(
        None,
        "An image, folder, zip or quoted glob.",
        is_path=True,
        missing="pass an image, a folder, a zip or a glob",
    )
    output_dir: str = common.output_dir(
        "predictions",
        "Folder of the results; those of an earlier run there are not images.",
    )
    tile: bool = setting(
        False,
        "Cut photos larger than a training frame (720x480) into overlapping tiles.",
    )
    tta: bool = common.tta()
    save_probabilities: bool = setting(
        False, "Also write NAME_probabilities.npz: float16 [height, width, classes]."
    )
    save_uncertainty: bool = setting(
        False,
        "Also write NAME_uncertainty.png: entropy, black certain, white guessing.",
    )
    min_rock_area: int = setting(
        10,
        "Smaller rocks, px, are not counted in summary.csv.",
        settings.at_least(1),
    )
    batch_size: int | None = common.batch_size()

    def __post_init__(self):
        settings.check(self)


def predict(config: PredictConfig) -> int:
    """Segments every image found; returns the exit status.

    Raises:
        ValueError: no images, no such checkpoint, or a person's file in the way.
        OSError: a result cannot be written.
    """
    output = make_output_folder(config.output_dir)
    files = find_images(
        config.images or "", exclude=lambda path: result_files.is_result(path, output)
    )
    result_files.check_neighbours(files, output)
    predictor = Predictor(
        config.checkpoint or default_checkpoint(),
        tta=config.tta,
        tile=config.tile,
        batch_size=config.batch_size,
    )
    progress = keras.utils.Progbar(len(files), unit_name="image")
    rows: list[dict[str, Any]] = []
    for batch in _read_batches(files, predictor.batch_size):
        _predict_batch(config, predictor, batch, output)
        rows += [row for _, row, _ in batch]
        progress.update(len(rows))
    result_files.write_summary(output, rows)
    skipped = sum("error" in row for row in rows)
    logging.info(
        "%d of %d images segmented: %s", len(rows) - skipped, len(rows), output
    )
    return common.EXIT_SKIPPED if skipped else command_line.EXIT_DONE


def _read_batches(files: list[ImageFile], batch_size: int) -> Iterator[list[_Read]]:
    """Yields files read together: `batch_size`, or fewer where photos are large."""
    batch: list[_Read] = []
    pixels = 0
    for file in files:
        row: dict[str, Any] = {"image": str(file)}
        image = None
        try:
            image = file.read()
            pixels += image.shape[0] * image.shape[1]
        except (ValueError, OSError) as error:
            logging.error("Left out %s: %s", file, error)
            row["error"] = str(error)
        batch.append((file, row, image))
        if len(batch) == batch_size or pixels >= MAX_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _predict_batch(
    config: PredictConfig,
    predictor: Predictor,
    batch: list[_Read],
    output: pathlib.Path,
) -> None:
    """Writes the results of a batch, image by image, and fills in the rows."""
    readable = [(file, row, image) for file, row, image in batch if image is not None]
    predictions = predictor.predict_each(image for _, _, image in readable)
    for file, row, image in readable:
        # Nothing else holds it: a large photo's probabilities take a gigabyte.
        prediction = next(predictions)
        result_files.write_results(
            output,
            file.name,
            image,
            prediction,
            save_probabilities=config.save_probabilities,
            save_uncertainty=config.save_uncertainty,
        )
        row.update(result_files.summary_row(prediction.mask, config.min_rock_area))
        del prediction


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    return command_line.run(PredictConfig, predict, argv)
