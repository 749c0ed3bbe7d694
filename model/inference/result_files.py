"""The files that a prediction leaves: their names, what is in them, whose they are."""

import csv
import io
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from lunar_tfds import palette
from lunar_tfds.atomic_files import write_bytes, write_text
from lunar_tfds.pictures import to_png
from lunar_tfds.regions import connected_regions
from model.inference import pictures
from model.inference.image_files import ImageFile
from model.inference.predictor import Prediction
from model.inference.rocks import is_rock

SUMMARY = "summary.csv"
# How the names of an image's files end: for image NAME, NAME_mask.png ...
MASK, OVERLAY, UNCERTAINTY = "_mask.png", "_overlay.png", "_uncertainty.png"
PROBABILITIES = "_probabilities.npz"
ENDINGS = (MASK, OVERLAY, UNCERTAINTY, PROBABILITIES)
COLUMNS = (
    *("image", "width", "height"),
    *palette.CLASS_NAMES,
    *("rocks", "largest_rock_px", "error"),
)


def is_result(path: pathlib.Path, folder: pathlib.Path) -> bool:
    """Returns whether a file lies in `folder` and is named as what a run writes there.

    The folder itself does not tell: people's images may lie in it, or below it.
    """
    return path.name.endswith((SUMMARY, *ENDINGS)) and _lies_in(path, folder)


def check_neighbours(files: Iterable[ImageFile], folder: pathlib.Path) -> None:
    """Raises ValueError where a person's own file would be written over.

    That is one beside its image in `folder`, called like a result, where no run has
    left its summary.
    """
    if (folder / SUMMARY).exists():
        return
    for file in files:
        if not _lies_in(file.path, folder):
            continue
        for ending in ENDINGS:
            result = folder / f"{file.name}{ending}"
            if result.exists():
                raise ValueError(
                    f"{result} exists beside its image and would be written over, and "
                    f"no {SUMMARY} tells that an earlier run wrote it. Pass another "
                    "--output_dir, or remove it if it is a result."
                )


def write_results(
    folder: pathlib.Path,
    name: str,
    image: np.ndarray,
    prediction: Prediction,
    *,
    save_probabilities: bool = False,
    save_uncertainty: bool = False,
) -> None:
    """Writes all files of one image, each whole or not at all.

    Args:
        folder: where.
        name: what the files are called, before their endings.
        image: uint8 [height, width, 3].
        prediction: of the image, at its size.
        save_probabilities: whether to write them, float16 [height, width, classes].
        save_uncertainty: whether to write it, as a grey picture.

    Raises:
        OSError: a file cannot be written.
    """
    mask = prediction.mask
    overlay = pictures.with_legend(pictures.overlay(image, mask), mask)
    write_bytes(folder / f"{name}{MASK}", to_png(palette.colorize(mask)))
    write_bytes(folder / f"{name}{OVERLAY}", to_png(overlay))
    if save_uncertainty:
        grey = np.rint(prediction.uncertainty * 255).astype(np.uint8)
        write_bytes(folder / f"{name}{UNCERTAINTY}", to_png(grey))
    if save_probabilities:
        file = io.BytesIO()
        np.savez_compressed(
            file,
            probabilities=prediction.probabilities.astype(np.float16),
            class_names=palette.CLASS_NAMES,
        )
        write_bytes(folder / f"{name}{PROBABILITIES}", file.getvalue())


def summary_row(mask: np.ndarray, min_rock_area: int) -> dict[str, Any]:
    """Returns an image's row of the summary: class shares, rock count, largest rock.

    Args:
        mask: uint8 [height, width], class ids.
        min_rock_area: px; smaller rocks are not counted.
    """
    shares = np.bincount(mask.ravel(), minlength=palette.NUM_CLASSES) / mask.size
    areas = connected_regions(is_rock(mask))[1]
    counted = areas[areas >= min_rock_area]
    return {
        "width": mask.shape[1],
        "height": mask.shape[0],
        **{n: f"{s:.6f}" for n, s in zip(palette.CLASS_NAMES, shares, strict=True)},
        "rocks": len(counted),
        "largest_rock_px": int(counted.max(initial=0)),
    }


def write_summary(folder: pathlib.Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes the summary, a row for each image, whose keys are among `COLUMNS`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / SUMMARY, text.getvalue())


def _lies_in(path: pathlib.Path, folder: pathlib.Path) -> bool:
    return path.parent.resolve() == folder.resolve()
