"""Exports a checkpoint: `python export.py --checkpoint=... --format=onnx --output=...`.

The artifact is run on a split of the dataset, and its scores, size and latency are put
beside the checkpoint's in OUTPUT.md. Exit status: 0 done, 1 an error, 3 the artifact
scores clearly lower than the checkpoint, and is not kept (see --allow_drop).
"""

import os
import pathlib
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from lunar_tfds.atomic_files import write_text
from model.evaluation import scoring
from model.evaluation.model_card import model_card
from model.export import formats
from model.inference.output_folder import make_output_folder
from model.inference.predictor import Predictor
from pipeline import batching
from pipeline.resize import resize_image

EXIT_DROP = 3
# A larger fall of the mean IoU fails.
LARGEST_DROP = 0.01
# Latency is the median of so many runs, after one that does not count.
TIMED_RUNS = 9

# As a command the flags are absl's own; imported, they do not meet train.py's.
FLAGS = flags.FLAGS if __name__ == "__main__" else flags.FlagValues()
flags.DEFINE_string(
    "checkpoint",
    "runs/vgg16_unet",
    "A .keras file, or a workdir: its best.",
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "format", "saved_model", formats.FORMATS, "What to write.", flag_values=FLAGS
)
flags.DEFINE_string(
    "output", None, "File, or folder of a SavedModel, to write.", flag_values=FLAGS
)
flags.DEFINE_string(
    "data_dir", None, "TFDS data_dir; TFDS's own by default.", flag_values=FLAGS
)
flags.DEFINE_string(
    "split", "validation", "Split to score the artifact on.", flag_values=FLAGS
)
flags.DEFINE_string(
    "calibration_split",
    "train",
    "Split of int8's calibration images.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "calibration_images", 100, "How many of them.", lower_bound=1, flag_values=FLAGS
)
flags.DEFINE_bool(
    "allow_drop",
    False,
    f"Keep the artifact though its mean IoU is over {LARGEST_DROP} lower.",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "traceback", False, "Show where in the code an error arose.", flag_values=FLAGS
)


def calibration_images(builder, predictor):
    """Yields uint8 [S, S, 3] images of the calibration split."""
    selection = batching.Selection(FLAGS.calibration_split, predictor.mask_kind)
    examples = batching.example_dataset(builder, selection)
    for example in examples.take(FLAGS.calibration_images):
        image = resize_image(example["image"].numpy(), predictor.image_size)
        yield np.rint(image * 255).astype(np.uint8)


def score(predictor, builder, title):
    """Returns the metrics of a predictor on the split."""
    selection = batching.Selection(FLAGS.split, predictor.mask_kind)
    examples = batching.example_dataset(builder, selection)
    print(f"Scoring the {title}")
    progress = keras.utils.Progbar(int(examples.cardinality()), unit_name="frame")
    scored = scoring.evaluate(
        predictor,
        examples.as_numpy_iterator(),
        num_pictured=1,
        progress=progress.update,
    )
    return scoring.summarize(scored)


def latency_ms(run, image):
    """Returns the median time of `run(image)` in milliseconds, on the CPU."""
    times = []
    with tf.device("CPU:0"):
        for _ in range(TIMED_RUNS + 1):
            start = time.perf_counter()
            run(image)
            times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[1:])


def measure(predictor, artifact, path, builder):
    """Returns [(title, metrics, size in bytes, latency in ms)] of both."""
    size = predictor.image_size
    image = np.zeros((1, size, size, 3), np.uint8)
    replaced = Predictor(
        predictor.path, network=formats.as_network(artifact), batch_size=1
    )
    network = predictor.networks[0][1]
    runs = (
        lambda pixels: network(tf.constant(pixels, tf.float32) / 255.0).numpy(),
        artifact,
    )
    titles = ("checkpoint", FLAGS.format)
    return [
        (
            title,
            score(one, builder, title),
            formats.size_bytes(file),
            latency_ms(run, image),
        )
        for title, one, file, run in zip(
            titles, (predictor, replaced), (predictor.path, path), runs, strict=True
        )
    ]


def export_card(predictor, measured, path):
    """Returns the model's card with a section on the artifact, Markdown."""
    names, size = predictor.class_names, predictor.image_size
    checked = measured[0][1] | {"split": FLAGS.split}
    lines = [
        model_card(predictor.details, metrics=checked),
        f"## The exported file `{path.name}`",
        "",
        f"Format `{FLAGS.format}`, made from `{predictor.path.name}`. It takes other "
        "input than the Keras model above:",
        "",
        f"- Input `image`: uint8 [N, {size}, {size}, 3], RGB in 0..255: the frame "
        "resized bilinearly to that size.",
        f"- Output `mask`: int32 [N, {size}, {size}], class ids: "
        + ", ".join(f"{index} {name}" for index, name in enumerate(names))
        + ".",
        f"- Output `probabilities`: float32 [N, {size}, {size}, {len(names)}].",
        "",
        f"Scored on {measured[0][1]['num_examples']} frames of `{FLAGS.split}` at the "
        "masks' own resolution by running the file itself. Latency is the median of "
        f"{TIMED_RUNS} runs of one image on {os.cpu_count()} CPU cores, resizing and "
        "reading not counted.",
        "",
        *(f"| {' | '.join(row)} |" for row in _comparison(measured, names)),
    ]
    return "\n".join(lines) + "\n"


def _comparison(measured, names):
    """Returns the rows of the table: the checkpoint beside the artifact."""
    metrics = [m for _, m, _, _ in measured]
    scores = ("mean_iou", "mean_dice", "rock_iou", "pixel_accuracy")
    return [
        ["", *(title for title, *_ in measured)],
        ["---"] * 3,
        *([s.replace("_", " "), *(_number(m[s]) for m in metrics)] for s in scores),
        *(
            [f"IoU {name}", *(_number(m["iou_per_class"][name]) for m in metrics)]
            for name in names
        ),
        ["size, MB", *(f"{bytes_ / 1e6:.1f}" for _, _, bytes_, _ in measured)],
        ["latency, ms an image", *(f"{ms:.1f}" for *_, ms in measured)],
    ]


def main(argv):
    """Exports, scores, and keeps the artifact if it is good; returns the status."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    if not FLAGS.output:
        raise ValueError("--output is missing: pass the file or folder to write")
    path = pathlib.Path(FLAGS.output)
    if path.is_dir() and any(path.iterdir()) and not formats.is_saved_model(path):
        raise ValueError(
            f"{path} is a folder with other things in it: it would be replaced. "
            "Pass a file, or a folder of its own"
        )
    make_output_folder(path.absolute().parent)
    predictor = Predictor(FLAGS.checkpoint, batch_size=1)
    builder = batching.open_dataset(FLAGS.data_dir)
    unproven = path.with_name(f".unproven-{os.getpid()}-{path.name}")
    try:
        formats.export(
            predictor.model,
            predictor.image_size,
            unproven,
            FLAGS.format,
            calibration_images(builder, predictor),
        )
        artifact = formats.load_artifact(unproven, FLAGS.format)
        measured = measure(predictor, artifact, unproven, builder)
        before, after = (metrics["mean_iou"] for _, metrics, _, _ in measured)
        if before - after > LARGEST_DROP and not FLAGS.allow_drop:
            logging.error(
                "The mean IoU falls from %.4f to %.4f, by more than %s, so %s was not "
                "written. Pass --allow_drop to keep it, or use another --format.",
                *(before, after, LARGEST_DROP, path),
            )
            return EXIT_DROP
        formats.replace(unproven, path)
    finally:
        formats.remove(unproven)
    card = path.with_name(f"{path.name}.md")
    write_text(card, export_card(predictor, measured, path))
    logging.info(
        "%s written: mean IoU %.4f, the checkpoint's %.4f. See %s",
        *(path, after, before, card),
    )
    return 0


def run(argv):
    """Runs `main`; what a user can mend becomes one line in place of a traceback."""
    try:
        return main(argv)
    except (ValueError, OSError) as error:
        if FLAGS.traceback:
            raise
        logging.error("%s", error)
        return 1


def _number(value):
    return "absent" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    logging.set_verbosity(logging.INFO)
    app.run(run)
