"""Draws frames with their masks, boxes and ids on one sheet.

Run `python -m lunar_tfds.contact_sheet --data_dir=D --split=train --num_examples=12
--output=sheet.png`.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lunar_tfds import palette

# How strongly the mask covers the frame, 0 to 1.
OPACITY = 0.45
TILE_WIDTH = 480  # px
GAP, CAPTION, LEGEND = 8, 26, 40  # px
_BACKGROUND, _INK, _BOX = (24, 24, 28), (235, 235, 235), (255, 220, 0)


def overlay(image, mask):
    """Returns a frame with its mask laid over it; ground stays as it is.

    Args:
        image: uint8 [height, width, 3].
        mask: uint8 [height, width], class ids.

    Returns:
        uint8 [height, width, 3].
    """
    colors = palette.colorize(mask).astype(np.float32)
    mixed = image * (1 - OPACITY) + colors * OPACITY
    mixed = np.where(mask[..., None] == palette.GROUND, image, mixed)
    return np.rint(mixed).astype(np.uint8)


def draw_tile(example, mask_name):
    """Returns an image of one example under a caption.

    Args:
        example: dict of numpy arrays, as the dataset yields it.
        mask_name: 'ground_mask' or 'clean_mask'.
    """
    mask = Image.fromarray(example[mask_name][..., 0])
    width, height = mask.size
    image = Image.fromarray(example["image"]).resize(mask.size)
    picture = Image.fromarray(overlay(np.asarray(image), np.asarray(mask)))
    picture = picture.resize((TILE_WIDTH, round(height * TILE_WIDTH / width)))
    draw = ImageDraw.Draw(picture)
    for top, left, bottom, right in example["objects"]["bbox"]:
        edges = left * picture.width, top * picture.height
        edges += right * picture.width - 1, bottom * picture.height - 1
        draw.rectangle(edges, outline=_BOX, width=2)
    tile = Image.new("RGB", (TILE_WIDTH, picture.height + CAPTION), _BACKGROUND)
    tile.paste(picture, (0, CAPTION))
    defects = [name for name, named in example["defects"].items() if named]
    caption = "  ".join([example["frame_id"].decode(), *defects])
    ImageDraw.Draw(tile).text((4, 4), caption, fill=_INK, font=_font())
    return tile


def draw_sheet(examples, *, mask="ground", columns=4):
    """Returns a sheet of examples with a legend.

    Args:
        examples: list of dicts of numpy arrays, as the dataset yields them.
        mask: 'ground' or 'clean'.
        columns: tiles a row, at most.
    """
    tiles = [draw_tile(example, f"{mask}_mask") for example in examples]
    columns = min(columns, len(tiles))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) + GAP for row in rows]
    width = columns * (TILE_WIDTH + GAP) + GAP
    sheet = Image.new("RGB", (width, sum(heights) + LEGEND + GAP), _BACKGROUND)
    _draw_legend(sheet, mask)
    top = LEGEND
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (GAP + column * (TILE_WIDTH + GAP), top))
        top += height
    return sheet


def _draw_legend(sheet, mask):
    draw, left = ImageDraw.Draw(sheet), GAP
    entries = [*zip(palette.CLASS_NAMES, palette.CLASS_COLORS, strict=True)]
    for name, color in entries[1:]:
        draw.rectangle((left, 10, left + 20, 30), fill=color)
        draw.text((left + 26, 10), name, fill=_INK, font=_font())
        left += 46 + round(draw.textlength(name, font=_font()))
    draw.rectangle((left, 10, left + 20, 30), outline=_BOX, width=2)
    draw.text((left + 26, 10), f"box of a large rock;  {mask} mask", _INK, _font())


def _font():
    return ImageFont.load_default(16)


def main(argv):
    """Reads the dataset and writes the sheet."""
    import tensorflow_datasets as tfds

    del argv
    builder = tfds.builder("lunar_rocks", data_dir=FLAGS.data_dir)
    if not builder.is_prepared():
        raise SystemExit(
            f"No lunar_rocks in {builder.data_dir}. Run tfds build lunar_rocks, or "
            f"name another --data_dir."
        )
    names = {part.partition("[")[0].strip() for part in FLAGS.split.split("+")}
    if not names <= set(builder.info.splits):
        raise SystemExit(
            f"No split {FLAGS.split!r}: this dataset has {sorted(builder.info.splits)}."
        )
    if not builder.info.splits[FLAGS.split].num_examples:
        raise SystemExit(f"No example in {FLAGS.split!r}. Choose a larger part.")
    dataset = builder.as_dataset(split=FLAGS.split).take(FLAGS.num_examples)
    sheet = draw_sheet(list(tfds.as_numpy(dataset)), mask=FLAGS.mask)
    sheet.save(FLAGS.output)
    print(f"{FLAGS.output}: {sheet.width}x{sheet.height} px")


if __name__ == "__main__":
    from absl import app, flags

    import lunar_tfds  # noqa: F401  Registers lunar_rocks.

    FLAGS = flags.FLAGS
    flags.DEFINE_string("data_dir", None, "TFDS data_dir; TFDS's own by default.")
    flags.DEFINE_string("split", "train", "Such as train or test+real[:5].")
    flags.DEFINE_integer("num_examples", 12, "Frames to draw.", lower_bound=1)
    flags.DEFINE_enum("mask", "ground", ["ground", "clean"], "The mask to draw.")
    flags.DEFINE_string("output", "sheet.png", "The picture to write.")
    app.run(main)
