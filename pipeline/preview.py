"""A sheet of augmented images and masks that a person can check at a glance.

    python -m pipeline.preview --output=FILE.png [--data_dir=D]

One row per example: as evaluation sees it, then drawn anew for each column with the
mask's outlines on it, the mask below. Rock and outline must coincide everywhere, the
sky stay above, and nothing but mirror images come in at the edges.
"""

import dataclasses
import pathlib
import sys
import tempfile

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image, ImageDraw

from lunar_tfds import command_line, palette, settings
from lunar_tfds.atomic_files import write_bytes
from lunar_tfds.image_arrays import borders, to_png
from lunar_tfds.settings import at_least, setting
from pipeline import batching, benchmark_frames, pixels, selection
from pipeline.augmentation import Augmentation, draw

# Images float32 [n, h, w, 3] in [0, 1] and masks int32 [n, h, w].
Column = tuple[np.ndarray, np.ndarray]
MARGIN, CAPTION = 6, 16  # px


def outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns an image with its mask's class borders drawn in the class's colour.

    Args:
        image: float32 [height, width, 3] in [0, 1].
        mask: int32 [height, width].

    Returns:
        uint8 [height, width, 3].
    """
    drawn = np.rint(image * 255).astype(np.uint8)
    border = borders(mask)
    top = np.maximum(mask, np.roll(mask, 1, 0))
    top = np.maximum(top, np.roll(mask, 1, 1))
    # Brightened: pure blue is hard to see on black.
    colors = np.asarray(palette.CLASS_COLORS, np.uint8) // 2 + 127
    drawn[border] = colors[top[border]]
    return drawn


def sheet(columns: list[Column], captions: list[str]) -> Image.Image:
    """Returns a picture of columns of (images, masks), each with its caption."""
    count, size = len(columns[0][0]), columns[0][0].shape[1]
    cell = size + MARGIN
    height = CAPTION + count * (2 * cell + MARGIN)
    canvas = Image.new("RGB", (len(columns) * cell + MARGIN, height), "white")
    draw = ImageDraw.Draw(canvas)
    for column, ((images, masks), caption) in enumerate(
        zip(columns, captions, strict=True)
    ):
        left = MARGIN + column * cell
        draw.text((left, 2), caption, fill="black")
        for row, (image, mask) in enumerate(zip(images, masks, strict=True)):
            top = CAPTION + row * (2 * cell + MARGIN)
            canvas.paste(Image.fromarray(outlined(image, mask)), (left, top))
            canvas.paste(Image.fromarray(palette.colorize(mask)), (left, top + cell))
    return canvas


def columns(
    builder: tfds.core.DatasetBuilder,
    chosen: selection.Selection,
    size: int,
    examples: int,
    epochs: int,
) -> tuple[list[Column], list[str]]:
    """Returns ([(images, masks)], captions): unchanged, by epoch, and all at once.

    Args:
        builder: of the built dataset.
        chosen: `Selection`; its first examples are shown.
        size: of a picture, px.
        examples: how many.
        epochs: how often each is drawn anew with the default strengths.
    """
    batches = batching.Batches(size, examples)
    dataset = batching.evaluation_dataset(builder, chosen, batches)
    image, ids, _ = next(iter(dataset))
    found, captions = [(image.numpy(), ids.numpy())], ["evaluation"]
    strengths = [("default", Augmentation())] * epochs
    strengths += [("gamma, noise", Augmentation(gamma=0.5, noise=0.05))]
    found_examples = batching.find_examples(builder, chosen)
    source = pixels.Source(found_examples, chosen.mask, (size, size))
    for epoch, (name, strength) in enumerate(strengths):
        found.append(_augmented(source, size, strength, epoch, examples))
        captions.append(f"{name}, epoch {epoch}")
    return found, captions


def _augmented(source, size, strength, epoch, count):
    """Returns the first examples, in order, as an epoch's parameters change them."""
    warped = batching.Warp(source, (size, size), strength, xla=False)
    prepared = warped.prepare(draw(strength, 0, tf.constant(epoch, tf.int64), count))
    images, masks = [], []
    for number in range(count):
        own = tf.nest.map_structure(lambda value, n=number: value[n], prepared)
        image, ids = warped(source(number), own)
        images.append(image.numpy())
        masks.append(ids.numpy())
    return np.stack(images), np.stack(masks)


@dataclasses.dataclass(frozen=True)
class Preview:
    """Settings of the command."""

    output: str | None = setting(
        None, "PNG file to write.", is_path=True, missing="name the PNG file to write"
    )
    data_dir: str | None = setting(
        None, "TFDS data_dir; frames are drawn if unset.", is_path=True
    )
    split: str = settings.split("train")
    mask: str = selection.mask(help="Masks to show.")
    image_size: int = setting(224, "Side of a picture, px.", at_least(16))
    examples: int = setting(3, "Rows.", at_least(1))
    epochs: int = setting(4, "Columns with default strengths.", at_least(1))

    def __post_init__(self):
        settings.check(self)


def main(config: Preview) -> None:
    """Writes the sheet."""
    with tempfile.TemporaryDirectory() as folder:
        if config.data_dir:
            builder = batching.open_dataset(config.data_dir)
        else:
            builder, _, _ = benchmark_frames.write(pathlib.Path(folder), 12)
        chosen = batching.Selection(config.split, config.mask)
        count = min(config.examples, batching.num_examples(builder, chosen))
        shown = columns(builder, chosen, config.image_size, count, config.epochs)
        picture = sheet(*shown)
    write_bytes(config.output or "", to_png(np.asarray(picture)))
    print(f"Wrote {config.output}.")


if __name__ == "__main__":
    sys.exit(command_line.run(Preview, main))
