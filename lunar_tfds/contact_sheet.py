"""Draws frames with their masks, boxes and ids on one sheet.

Run `python -m lunar_tfds.contact_sheet --data_dir=D --split=train --num_examples=12
--output=sheet.png`.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageDraw, ImageFont

from lunar_tfds import (
    atomic_files,
    command_line,
    image_arrays,
    opening,
    palette,
    settings,
)
from lunar_tfds.kaggle_layout import GROUND, MASKS, mask_name
from lunar_tfds.settings import at_least, setting

# How strongly the mask covers the frame, 0 to 1.
OPACITY = 0.45
TILE_WIDTH = 480  # px
GAP, CAPTION, LEGEND = 8, 26, 40  # px
_BACKGROUND, _INK, _BOX = (24, 24, 28), (235, 235, 235), (255, 220, 0)


def draw_tile(example: dict[str, Any], mask: str) -> Image.Image:
    """Return an image of one example under a caption.

    Args:
        example: dict of numpy arrays, as the dataset yields it.
        mask: 'ground' or 'clean'.
    """
    ids = example[mask_name(mask)][..., 0]
    height, width = ids.shape
    image = Image.fromarray(example["image"]).resize((width, height))
    tinted = image_arrays.overlay(np.asarray(image), ids, OPACITY)
    picture = Image.fromarray(tinted)
    picture = picture.resize((TILE_WIDTH, round(height * TILE_WIDTH / width)))
    draw = ImageDraw.Draw(picture)
    for top, left, bottom, right in example["objects"]["bbox"]:
        first = left * picture.width, top * picture.height
        last = right * picture.width - 1, bottom * picture.height - 1
        draw.rectangle((first, last), outline=_BOX, width=2)
    tile = Image.new("RGB", (TILE_WIDTH, picture.height + CAPTION), _BACKGROUND)
    tile.paste(picture, (0, CAPTION))
    defects = [name for name, named in example["defects"].items() if named]
    caption = "  ".join([example["frame_id"].decode(), *defects])
    ImageDraw.Draw(tile).text((4, 4), caption, fill=_INK, font=_font())
    return tile


def draw_sheet(
    examples: Sequence[dict[str, Any]], *, mask: str = GROUND, columns: int = 4
) -> Image.Image:
    """Return a sheet of examples with a legend.

    Args:
        examples: list of dicts of numpy arrays, as the dataset yields them.
        mask: 'ground' or 'clean'.
        columns: tiles a row, at most.
    """
    tiles = [draw_tile(example, mask) for example in examples]
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


def _draw_legend(sheet: Image.Image, mask: str) -> None:
    draw, left = ImageDraw.Draw(sheet), GAP
    entries = [*zip(palette.CLASS_NAMES, palette.CLASS_COLORS, strict=True)]
    for name, color in entries[1:]:
        draw.rectangle((left, 10, left + 20, 30), fill=color)
        draw.text((left + 26, 10), name, fill=_INK, font=_font())
        left += 46 + round(draw.textlength(name, font=_font()))
    draw.rectangle((left, 10, left + 20, 30), outline=_BOX, width=2)
    draw.text((left + 26, 10), f"box of a large rock;  {mask} mask", _INK, _font())


def _font() -> Any:
    return ImageFont.load_default(16)


@dataclasses.dataclass(frozen=True)
class Sheet:
    """What to draw, and where to."""

    data_dir: str | None = settings.data_dir()
    split: str = settings.split("train")
    num_examples: int = setting(12, "Frames to draw.", at_least(1))
    mask: str = setting(GROUND, "The mask to draw.", choices=MASKS)
    output: str = setting("sheet.png", "The picture to write.", is_path=True)

    def __post_init__(self):
        settings.check(self)


def main(sheet: Sheet) -> None:
    """Read the dataset and writes the sheet."""
    builder = opening.open_dataset(sheet.data_dir)
    opening.check_mask(builder, sheet.mask)
    split = opening.resolve_split(builder, sheet.split)
    if not builder.info.splits[split].num_examples:
        raise ValueError(f"No example in {sheet.split!r}. Choose a larger part.")
    dataset = builder.as_dataset(split=split).take(sheet.num_examples)
    picture = draw_sheet(list(tfds.as_numpy(dataset)), mask=sheet.mask)
    atomic_files.write_bytes(sheet.output, image_arrays.to_png(np.asarray(picture)))
    print(f"{sheet.output}: {picture.width}x{picture.height} px")


if __name__ == "__main__":
    sys.exit(command_line.run(Sheet, main))
