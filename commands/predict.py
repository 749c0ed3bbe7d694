"""Segments people's own photos: `python predict.py --checkpoint=... --images=photos/`.

Writes NAME_mask.png, NAME_overlay.png and summary.csv. Exit status: 0 done, 1 an error,
2 some image could not be read and was left out.
"""

import csv
import io

import keras
import numpy as np
from absl import app, flags, logging

from lunar_tfds import palette
from lunar_tfds.atomic_files import write_text
from model.inference import images, pictures, rocks
from model.inference.output_folder import make_output_folder, write_bytes
from model.inference.predictor import Predictor

EXIT_SKIPPED = 2

# As a command the flags are absl's own; imported, they do not meet train.py's.
FLAGS = flags.FLAGS if __name__ == "__main__" else flags.FlagValues()
flags.DEFINE_string(
    "checkpoint",
    "runs/vgg16_unet",
    "A .keras file, or a workdir: its best.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "images", None, "An image, folder, zip or quoted glob.", flag_values=FLAGS
)
flags.DEFINE_string(
    "output_dir",
    "predictions",
    "Folder of the results; those of an earlier run there are not images.",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "tile",
    False,
    "Cut photos larger than a training frame (720x480) into overlapping tiles.",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "tta",
    False,
    "Average over mirrored and scaled views, six times the work.",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "save_probabilities",
    False,
    "Also write NAME_probabilities.npz: float16 [height, width, classes].",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "save_uncertainty",
    False,
    "Also write NAME_uncertainty.png: entropy, black certain, white guessing.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "min_rock_area",
    10,
    "Smaller rocks, px, are not counted in summary.csv.",
    lower_bound=1,
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "batch_size",
    None,
    "Images run at once; by device.",
    lower_bound=1,
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "traceback", False, "Show where in the code an error arose.", flag_values=FLAGS
)

SUMMARY = "summary.csv"
# How the names of all files end that a run writes: for image NAME, NAME_mask.png ...
MASK, OVERLAY, UNCERTAINTY = "_mask.png", "_overlay.png", "_uncertainty.png"
PROBABILITIES = "_probabilities.npz"
RESULTS = (SUMMARY, MASK, OVERLAY, UNCERTAINTY, PROBABILITIES)
COLUMNS = (
    *("image", "width", "height"),
    *palette.CLASS_NAMES,
    *("rocks", "largest_rock_px", "error"),
)


def summarize(mask):
    """Returns an image's row of summary.csv: class shares, rock count, largest rock."""
    shares = np.bincount(mask.ravel(), minlength=palette.NUM_CLASSES) / mask.size
    rock = np.isin(mask, (palette.SMALL_ROCK, palette.LARGE_ROCK))
    areas = rocks.connected_regions(rock)[1]
    counted = areas[areas >= FLAGS.min_rock_area]
    return {
        "width": mask.shape[1],
        "height": mask.shape[0],
        **{n: f"{s:.6f}" for n, s in zip(palette.CLASS_NAMES, shares, strict=True)},
        "rocks": len(counted),
        "largest_rock_px": int(counted.max(initial=0)),
    }


def is_result(path, output):
    """Returns whether a file lies in `output` and is named as what a run writes there.

    The folder itself does not tell: people's images may lie in it, or below it.
    """
    return path.name.endswith(RESULTS) and _lies_in(path, output)


def _lies_in(path, folder):
    return path.parent.resolve() == folder.resolve()


def check_neighbours(files, output):
    """Raises ValueError where a person's own file would be written over.

    That is one beside its image in `output`, called like a result, where no run has
    left its summary.
    """
    if (output / SUMMARY).exists():
        return
    for file in files:
        if not _lies_in(file.path, output):
            continue
        for end in RESULTS[1:]:
            result = output / f"{file.name}{end}"
            if result.exists():
                raise ValueError(
                    f"{result} exists beside its image and would be written over, and "
                    f"no {SUMMARY} tells that an earlier run wrote it. Pass another "
                    "--output_dir, or remove it if it is a result."
                )


def write_results(output, name, image, prediction):
    """Writes all files of one image."""
    mask = prediction.mask
    overlay = pictures.with_legend(pictures.overlay(image, mask), mask)
    files = {
        f"{name}{MASK}": pictures.to_png(palette.colorize(mask)),
        f"{name}{OVERLAY}": pictures.to_png(overlay),
    }
    if FLAGS.save_uncertainty:
        grey = np.rint(prediction.uncertainty * 255).astype(np.uint8)
        files[f"{name}{UNCERTAINTY}"] = pictures.to_png(grey)
    if FLAGS.save_probabilities:
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            probabilities=prediction.probabilities.astype(np.float16),
            class_names=palette.CLASS_NAMES,
        )
        files[f"{name}{PROBABILITIES}"] = stream.getvalue()
    for file, data in files.items():
        write_bytes(output / file, data)


def predict_batch(predictor, batch, output):
    """Predicts some files; returns their rows of summary.csv, errors included."""
    rows, readable = [], []
    for file in batch:
        row = {"image": str(file)}
        rows.append(row)
        try:
            readable.append((file, row, file.read()))
        except (ValueError, OSError) as error:
            logging.error("Left out %s: %s", file, error)
            row["error"] = str(error)
    if readable:
        predictions = predictor([image for _, _, image in readable])
        for (file, row, image), prediction in zip(readable, predictions, strict=True):
            write_results(output, file.name, image, prediction)
            row.update(summarize(prediction.mask))
    return rows


def write_summary(path, rows):
    """Writes summary.csv."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, stream.getvalue())


def main(argv):
    """Predicts every image found; returns the exit status."""
    if len(argv) > 1:
        raise app.UsageError(
            f"unknown arguments: {' '.join(argv[1:])}. Quote the glob of --images"
        )
    if not FLAGS.images:
        raise ValueError(
            "--images is missing: pass an image, a folder, a zip or a glob"
        )
    output = make_output_folder(FLAGS.output_dir)
    files = images.find_images(
        FLAGS.images, exclude=lambda path: is_result(path, output)
    )
    check_neighbours(files, output)
    predictor = Predictor(
        FLAGS.checkpoint, tta=FLAGS.tta, tile=FLAGS.tile, batch_size=FLAGS.batch_size
    )
    progress = keras.utils.Progbar(len(files), unit_name="image")
    rows = []
    for first in range(0, len(files), predictor.batch_size):
        batch = files[first : first + predictor.batch_size]
        rows += predict_batch(predictor, batch, output)
        progress.update(len(rows))
    write_summary(output / SUMMARY, rows)
    skipped = sum("error" in row for row in rows)
    logging.info(
        "%d of %d images segmented: %s", len(rows) - skipped, len(rows), output
    )
    return EXIT_SKIPPED if skipped else 0


def run(argv):
    """Runs `main`; what a user can mend becomes one line in place of a traceback."""
    try:
        return main(argv)
    except (ValueError, OSError) as error:
        if FLAGS.traceback:
            raise
        logging.error("%s", error)
        return 1


if __name__ == "__main__":
    logging.set_verbosity(logging.INFO)
    app.run(run)
