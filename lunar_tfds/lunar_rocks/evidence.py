"""What a label image tells of the meaning of its colours, whichever it is.

Sky is dark and above, ground is common, boxes hold large rock, and two masks of a frame
agree. None of this takes for granted which colour is which class, so that sums of it
judge every meaning that the colours could have (`hypotheses`). A colour is called by
the class that the palette gives it.
"""

import dataclasses

import numpy as np
from PIL import Image

from lunar_tfds.lunar_rocks.annotations import Box
from lunar_tfds.palette import GROUND, LARGE_ROCK, NUM_CLASSES, SKY

# A rendered sky is black: 99.2 % of its pixels are below 8 in frame 0001.
DARK = 8
# Evidence is counted in thousandths of a frame, so that sums are exact.
FRAME = 1000
# A colour with fewer pixels than this tells nothing, px: a half per mille of a frame.
MIN_PIXELS = 170
# Every so many columns are looked at from the top down.
COLUMN_STEP = 8


@dataclasses.dataclass(frozen=True)
class Tally:
    """What one label image shows of each colour, int64 [NUM_CLASSES] each.

    Attributes:
        pixels: all of them.
        top: those in the upper rows.
        dark: those of them that are dark in the render.
        columns: those in some columns.
        uppermost: those of them with nothing but their own colour above.
        boxes: boxes that it fills to a third and more than any other colour.
        num_boxes: all boxes.
    """

    pixels: np.ndarray
    top: np.ndarray
    dark: np.ndarray
    columns: np.ndarray
    uppermost: np.ndarray
    boxes: np.ndarray
    num_boxes: int


def tally(
    ids: np.ndarray, pixels: np.ndarray, top: np.ndarray | None, boxes: list[Box]
) -> Tally:
    """Returns the Tally of a label image.

    Args:
        ids: uint8 [height, width], by the palette.
        pixels: int [NUM_CLASSES], those of each colour.
        top: uint8 [rows, width, 3], the upper rows of the render; None without one.
        boxes: of large rocks.
    """
    upper = ids[: 0 if top is None else len(top)]
    is_dark = np.zeros(upper.shape, bool)
    if top is not None:
        is_dark = np.maximum(np.maximum(top[..., 0], top[..., 1]), top[..., 2]) < DARK
    columns = np.ascontiguousarray(ids[:, ::COLUMN_STEP].T)
    firsts = columns[:, 0]
    same = columns == firsts[:, np.newaxis]
    runs = np.where(same.all(axis=1), len(ids), same.argmin(axis=1))
    filled = np.zeros(NUM_CLASSES, np.int64)
    for box in boxes:
        first_row, left, bottom, right = (round(edge) for edge in box)
        inside = _count(ids[first_row:bottom, left:right])
        winner = inside.argmax()
        filled[winner] += 3 * inside[winner] >= inside.sum() > 0
    return Tally(
        pixels,
        _count(upper),
        _count(upper[is_dark]),
        count(columns),
        np.bincount(firsts, runs, NUM_CLASSES).astype(np.int64),
        filled,
        len(boxes),
    )


def _count(ids: np.ndarray) -> np.ndarray:
    return np.bincount(ids.ravel(), minlength=NUM_CLASSES)


def count(ids: np.ndarray) -> np.ndarray:
    """Returns the pixels of each class in a label image, uint8 [height, width]."""
    # Pillow counts bytes in half the time that numpy's bincount takes.
    return np.array(Image.fromarray(ids).histogram()[:NUM_CLASSES])


def count_pairs(ground: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Returns the pixels of each colour in ground (rows) that are each in clean."""
    pairs = ground * np.uint8(NUM_CLASSES) + clean
    counts = Image.fromarray(pairs).histogram()[: NUM_CLASSES**2]
    return np.array(counts).reshape(NUM_CLASSES, NUM_CLASSES)


def votes(found: Tally) -> list[list[int]]:
    """Returns how well each colour would do as each class in a frame.

    - ground: the most common colour has the vote.
    - sky: the share of its upper pixels that are dark, times the share of all its
      pixels that have nothing but their own colour above.
    - large rock: the share of the boxes that it fills.
    - small rock: nothing tells it but that the others are others.

    Returns:
        [class][colour], each 0 to FRAME.
    """
    result = np.zeros((NUM_CLASSES, NUM_CLASSES))
    result[GROUND, found.pixels.argmax()] = 1
    enough = found.top >= MIN_PIXELS
    result[SKY] = enough * _share(found.dark, found.top)
    result[SKY] *= _share(found.uppermost, found.columns)
    result[LARGE_ROCK] = found.boxes / max(found.num_boxes, 1)
    return np.rint(FRAME * result).astype(int).tolist()


def agreement(pairs: np.ndarray) -> list[list[int]]:
    """Returns how much each colour in ground covers what each covers in clean.

    The overlap over the union of both, so that rare colours count like common ones.

    Args:
        pairs: int [colour in ground, colour in clean], pixels.

    Returns:
        [colour in ground][colour in clean], each 0 to FRAME.
    """
    union = pairs.sum(axis=1, keepdims=True) + pairs.sum(axis=0) - pairs
    overlap = np.where(union >= MIN_PIXELS, _share(pairs, union), 0)
    return np.rint(FRAME * overlap).astype(int).tolist()


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)


def primaries(rgb: np.ndarray) -> int | None:
    """Returns the thousandths of the coloured pixels that are as bright as can be.

    None where no pixel has a colour. A `clean` mask has 1000; in `ground` the sky is at
    226, and rocks go darker with distance. Every eighth row is looked at.
    """
    rows = rgb[::8]
    brightest = np.maximum(np.maximum(rows[..., 0], rows[..., 1]), rows[..., 2])
    colored = int(np.count_nonzero(brightest))
    if not colored:
        return None
    return round(FRAME * int(np.count_nonzero(brightest == 255)) / colored)
