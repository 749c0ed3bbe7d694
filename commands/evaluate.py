"""Scores a checkpoint: `python evaluate.py --checkpoint=runs/vgg16_unet --split=test`.

Writes metrics.json and report.html. Exit status: 0 done, 1 an error, 3 the mean IoU is
clearly below the baseline's (its 95 % interval of the change lies below 0).
"""

import json
import pathlib

import keras
from absl import app, flags, logging

from lunar_tfds.atomic_files import write_json, write_text
from model.evaluation import report, scoring
from model.inference.output_folder import make_output_folder
from model.inference.predictor import Predictor
from pipeline import batching

EXIT_WORSE = 3

# As a command the flags are absl's own; imported, they do not meet train.py's.
FLAGS = flags.FLAGS if __name__ == "__main__" else flags.FlagValues()
flags.DEFINE_string(
    "checkpoint",
    "runs/vgg16_unet",
    "A .keras file, or a workdir: its best.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "data_dir", None, "TFDS data_dir; TFDS's own by default.", flag_values=FLAGS
)
flags.DEFINE_string(
    "split", "test", "TFDS split expression; `real`: Moon photos.", flag_values=FLAGS
)
flags.DEFINE_enum(
    "mask",
    None,
    ["ground", "clean"],
    "Masks to score against; those trained on by default.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "protocol", None, "Another project's split, see pipeline.", flag_values=FLAGS
)
flags.DEFINE_list(
    "exclude_defects",
    [],
    "Defect lists whose frames are left out.",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "tta",
    False,
    "Average over mirrored and scaled views, six times the work.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "batch_size",
    None,
    "Frames run at once; by device.",
    lower_bound=1,
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "baseline",
    None,
    "metrics.json of another run on the same frames.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "output_dir", "evaluation", "Folder of the results.", flag_values=FLAGS
)
flags.DEFINE_bool(
    "traceback", False, "Show where in the code an error arose.", flag_values=FLAGS
)


def read_baseline(path):
    """Returns the dict in a metrics.json, None without a path; ValueError if broken."""
    if path is None:
        return None
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"cannot read the baseline {path}: {error}") from error


def describe_run(predictor, builder, mask):
    """Returns what metrics.json says about how its numbers came about."""
    metadata = builder.info.metadata or {}
    kept = ("epoch", "monitor", "score", "image_size", "mask")
    return {
        "split": FLAGS.split,
        "protocol": FLAGS.protocol,
        "exclude_defects": FLAGS.exclude_defects,
        "mask": mask,
        "tta": FLAGS.tta,
        "checkpoint": str(predictor.path),
        "checkpoint_details": {k: predictor.details.get(k) for k in kept},
        "dataset": {
            "name": builder.name,
            "version": str(builder.version),
            "source_fingerprint": metadata.get("source_fingerprint"),
        },
    }


def main(argv):
    """Scores a split and writes the results; returns the exit status."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    output = make_output_folder(FLAGS.output_dir)
    baseline = read_baseline(FLAGS.baseline)
    predictor = Predictor(FLAGS.checkpoint, tta=FLAGS.tta, batch_size=FLAGS.batch_size)
    builder = batching.open_dataset(FLAGS.data_dir)
    mask = FLAGS.mask or predictor.mask_kind
    selection = batching.Selection(
        FLAGS.split, mask, tuple(FLAGS.exclude_defects), FLAGS.protocol
    )
    examples = batching.example_dataset(builder, selection)
    progress = keras.utils.Progbar(int(examples.cardinality()), unit_name="frame")
    scored = scoring.evaluate(
        predictor, examples.as_numpy_iterator(), progress=progress.update
    )
    metrics = describe_run(predictor, builder, mask) | scoring.summarize(scored)
    if baseline is not None:
        metrics["comparison"] = scoring.compare(metrics, baseline)
        metrics["comparison"]["baseline"] = str(FLAGS.baseline)
    page = report.render(metrics, scored)
    write_json(output / "metrics.json", metrics)
    write_text(output / "report.html", page)
    return announce(metrics, output)


def announce(metrics, output):
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
        return 0
    change = metrics["comparison"]["changes"]["mean_iou"]
    logging.info(
        "Change of mean IoU against %s: %+.4f (95 %% interval %+.4f to %+.4f).",
        FLAGS.baseline,
        change["change"],
        *change["interval_95"],
    )
    return EXIT_WORSE if metrics["comparison"]["worse"] else 0


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
