"""Frames with the size and the file size of real renders, drawn for the benchmark."""

import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import lunar_tfds
from lunar_tfds import kaggle_layout, palette
from lunar_tfds.kaggle_layout import FRAME_HEIGHT as HEIGHT
from lunar_tfds.kaggle_layout import FRAME_WIDTH as WIDTH

# Standard deviations of the noise, grey levels, of all channels together and of each.
# Decoding costs what the file holds: these give PNGs of about 430 kB; two original
# renders have 371 and 447 kB.
GRAIN, TINT = 7.0, 0.2


def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns a frame: image uint8 [480, 720, 3], ground mask uint8 [480, 720, 3]."""
    hills = rng.normal(110, 30, (HEIGHT // 40 + 2, WIDTH // 40 + 2)).astype(np.float32)
    shade = np.array(
        Image.fromarray(hills).resize(
            kaggle_layout.FRAME_SIZE, Image.Resampling.BICUBIC
        )
    )
    shade += rng.normal(0, GRAIN, shade.shape)
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    horizon = int(rng.integers(60, 180))
    mask[:horizon, :, 0] = palette.SKY_RED[1]
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for channel, count, largest in ((1, 40, 9), (2, 4, 50)):
        for _ in range(count):
            radius = rng.integers(3, largest)
            centre_y, centre_x = (
                rng.integers(horizon + radius, HEIGHT),
                rng.integers(WIDTH),
            )
            rock = (y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2
            mask[rock, channel] = 255
            shade[rock] *= 1.4
    shade[:horizon] = 0
    # The channels of real renders differ by up to 3.
    tint = rng.normal(0, TINT, (HEIGHT, WIDTH, 3)).clip(-1.4, 1.4)
    image = np.where(shade[..., None] > 0, shade[..., None] + tint, 0)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def write(
    folder: pathlib.Path, count: int
) -> tuple[tfds.core.DatasetBuilder, str, list[tuple[str, str]]]:
    """Writes `count` frames in the Kaggle layout and builds the dataset of them.

    Besides, for others that read files, the masks' class ids go to `ids/`.

    Args:
        folder: pathlib.Path of an empty folder.
        count: int.

    Returns:
        (the built builder, the split that holds all frames, [(image path, ids path)]).
    """
    rng = np.random.default_rng(0)
    source = folder / "kaggle"
    for kind in kaggle_layout.KINDS:
        (source / kaggle_layout.frame_file(kind, "")).parent.mkdir(parents=True)
    (folder / "ids").mkdir()
    pairs = []
    for number in range(1, count + 1):
        frame_id = kaggle_layout.frame_id(number)
        image, mask = draw(rng)
        ids = palette.class_ids(mask)
        arrays = (image, mask, palette.colorize(ids))
        paths = [
            source / kaggle_layout.frame_file(kind, frame_id)
            for kind in kaggle_layout.KINDS
        ]
        for path, rgb in zip(paths, arrays, strict=True):
            Image.fromarray(rgb).save(path)
        ids_path = folder / "ids" / f"{frame_id}.png"
        Image.fromarray(ids).save(ids_path)
        pairs.append((str(paths[0]), str(ids_path)))
    (source / kaggle_layout.BOXES_FILE).write_text(
        ",".join(kaggle_layout.BOXES_HEADER) + "\n"
    )
    tfds.disable_progress_bar()
    builder = lunar_tfds.LunarRocks(data_dir=folder / "tfds")
    config = tfds.download.DownloadConfig(manual_dir=pathlib.Path(source))
    builder.download_and_prepare(download_config=config)
    return builder, "+".join(builder.info.splits), pairs


def pixel_bytes(pairs: list[tuple[str, str]]) -> float:
    """Returns the mean size of the image files."""
    return sum(tf.io.gfile.stat(image).length for image, _ in pairs) / len(pairs)
