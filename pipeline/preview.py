"""A sheet of augmented images and masks that a person can check at a glance.

    python -m pipeline.preview --output=FILE.png [--data_dir=D]

One row per example: as evaluation sees it, then drawn anew for each column with the
mask's outlines on it, the mask below. Rock and outline must coincide everywhere, the
sky stay above, and nothing but mirror images come in at the edges.
"""

import pathlib
import tempfile

import numpy as np
import tensorflow_datasets as tfds
from absl import app, flags
from PIL import Image, ImageDraw

from lunar_tfds import palette
from pipeline import batching, benchmark_frames
from pipeline.augmentation import Augmentation

MARGIN, CAPTION = 6, 16  # px


def outlined(image, mask):
    """Returns an image with its mask's class borders drawn in the class's colour.

    Args:
        image: float32 [height, width, 3] in [0, 1].
        mask: int32 [height, width].

    Returns:
        uint8 [height, width, 3].
    """
    drawn = np.rint(image * 255).astype(np.uint8)
    border = np.zeros(mask.shape, bool)
    border[1:] |= mask[1:] != mask[:-1]
    border[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    top = np.maximum(mask, np.roll(mask, 1, 0))
    top = np.maximum(top, np.roll(mask, 1, 1))
    # Brightened: pure blue is hard to see on black.
    colors = np.asarray(palette.CLASS_COLORS, np.uint8) // 2 + 127
    drawn[border] = colors[top[border]]
    return drawn


def sheet(columns, captions):
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


def columns(builder, split, mask, size, examples, epochs):
    """Returns ([(images, masks)], captions): unchanged, by epoch, and all at once.

    `examples` are the first of the split; each epoch draws them anew.
    """
    settings = {"mask": mask, "image_size": size, "global_batch_size": examples}
    image, ids, _ = next(iter(batching.evaluation_dataset(builder, split, **settings)))
    found, captions = [(image.numpy(), ids.numpy())], ["evaluation"]
    strengths = [("default", Augmentation())] * epochs
    strengths += [("gamma, noise", Augmentation(gamma=0.5, noise=0.05))]
    for epoch, (name, strength) in enumerate(strengths):
        chosen = _in_order(builder, split, strength, epoch, settings)
        found.append(chosen)
        captions.append(f"{name}, epoch {epoch}")
    return found, captions


def _in_order(builder, split, strength, epoch, settings):
    """Returns the first examples of a split as they are drawn in an epoch."""
    count = settings["global_batch_size"]
    images, masks = [], []
    for number in range(count):
        one = settings | {"global_batch_size": 1}
        dataset = batching.training_dataset(
            builder,
            f"{split}[{number}:{number + 1}]",
            augmentation=strength,
            seed=number,
            start_epoch=epoch,
            **one,
        )
        image, mask = next(iter(dataset))
        images.append(image[0].numpy())
        masks.append(mask[0].numpy())
    return np.stack(images), np.stack(masks)


def main(argv):
    """Writes the sheet."""
    if len(argv) > 1:
        raise app.UsageError(f"No arguments but flags: got {argv[1:]}.")
    values = flags.FLAGS
    with tempfile.TemporaryDirectory() as folder:
        if values.data_dir:
            builder = tfds.builder("lunar_rocks", data_dir=values.data_dir)
        else:
            builder, _, _ = benchmark_frames.write(pathlib.Path(folder), 12)
        picture = sheet(
            *columns(
                builder,
                values.split,
                values.mask,
                values.image_size,
                values.examples,
                values.epochs,
            )
        )
    output = pathlib.Path(values.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    picture.save(output)
    print(f"Wrote {output}.")


if __name__ == "__main__":
    flags.DEFINE_string("output", None, "PNG file to write.", required=True)
    flags.DEFINE_string("data_dir", None, "TFDS data_dir; frames are drawn if unset.")
    flags.DEFINE_string("split", "train", "TFDS split to show the first examples of.")
    flags.DEFINE_enum("mask", "ground", ["ground", "clean"], "Masks to show.")
    flags.DEFINE_integer("image_size", 224, "Side of a picture, px.", lower_bound=16)
    flags.DEFINE_integer("examples", 3, "Rows.", lower_bound=1)
    flags.DEFINE_integer("epochs", 4, "Columns with default strengths.", lower_bound=1)
    app.run(main)
