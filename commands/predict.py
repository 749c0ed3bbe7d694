"""Segments people's own photos: `python predict.py --images=photos/`.

Writes NAME_mask.png and NAME_overlay.png (of a video NAME_overlay.mp4), index.html to
look at, summary.csv, and every rock in rocks.csv and coco.json. Exit status: 0 done, 1
an error, 2 some image could not be read or written and was left out.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import keras
from absl import logging

from commands import common
from lunar_tfds import command_line, settings
from lunar_tfds.settings import setting
from model.inference import result_files
from model.inference.image_files import find_images
from model.inference.output_choice import OutputChoice, build_outputs
from model.inference.output_folder import make_output_folder
from model.inference.predictor import Predictor, default_checkpoint
from model.inference.segmenting import segment
from model.inference.video import count_frames, is_video, with_frames
from model.network.precision import POLICIES


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Settings of a prediction."""

    checkpoint: str | None = common.checkpoint_or_starter()
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
    tile: bool = common.tile()
    tta: bool = common.tta()
    bit_depth: int | None = setting(
        None,
        "Bits that the values of 16-bit photos use, 8 to 16. By default what a file "
        "declares, or the fewest of 8, 10, 12, 14, 16 that hold its folder's largest.",
        settings.between(8, 16),
    )
    min_rock_area: int = common.min_rock_area()
    results: OutputChoice = OutputChoice()
    video_step: int = setting(
        1, "Of a video, segment every n-th frame.", settings.at_least(1)
    )
    batch_size: int | None = common.batch_size()
    precision: str | None = setting(
        None,
        "What the network computes in; bfloat16 is up to twice as fast where the "
        "processor has it. By default what it was trained in, or float32 where the "
        "CPU lacks that.",
        choices=tuple(POLICIES),
    )

    def __post_init__(self):
        settings.check(self)


def predict(config: PredictConfig) -> int:
    """Segments every image found; returns the exit status.

    Raises:
        ValueError: no images, no such checkpoint, or a person's file in the way.
        OSError: the summary cannot be written.
    """
    output = make_output_folder(config.output_dir)
    files = find_images(
        config.images or "",
        exclude=lambda path: result_files.is_result(path, output),
        bit_depth=config.bit_depth,
    )
    result_files.check_neighbours(files, output, config.results.tables)
    predictor = Predictor(
        config.checkpoint or default_checkpoint(),
        tta=config.tta,
        tile=config.tile,
        batch_size=config.batch_size,
        precision=config.precision,
    )
    logging.info("Precision: %s", predictor.precision)
    weights, area = str(predictor.path), config.min_rock_area
    outputs = build_outputs(config.results, output, weights, area)
    count = sum(
        count_frames(file, config.video_step) if is_video(file) else 1 for file in files
    )
    progress = keras.utils.Progbar(count, unit_name="image")
    done = itertools.count()

    def on_image() -> None:
        next(done)
        progress.add(1)

    sources = with_frames(files, config.video_step)
    failed = segment(sources, predictor, outputs, on_image)
    images = next(done)
    logging.info("%d of %d images segmented: %s", images - failed, images, output)
    return common.EXIT_SKIPPED if failed else command_line.EXIT_DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    return command_line.run(PredictConfig, predict, argv)
