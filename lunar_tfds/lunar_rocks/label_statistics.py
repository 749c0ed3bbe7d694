"""What the label images of frames show: sums for `palette_check` and the metadata.

All sums are of whole numbers, so that they can be added in any order. Most of them do
not assume which colour means which class. A colour is called by the class that the
palette gives it.
"""

import dataclasses
from typing import Any

import numpy as np
from PIL import Image

from lunar_tfds import kaggle_layout, palette
from lunar_tfds.kaggle_layout import CLEAN, PHOTO_MASK, mask_name
from lunar_tfds.kaggle_layout import GROUND as GROUND_MASK
from lunar_tfds.lunar_rocks.annotations import Box
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.palette import GROUND, LARGE_ROCK, NUM_CLASSES, SKY

# Share of a label image that may be off the palette. Re-encoded copies have about 1 %
# there, at class edges; swapped or misread colours have far more.
MAX_OFF_PALETTE = 0.02
# A rendered sky is black: 99.2 % of its pixels are below 8 in frame 0001.
DARK = 8
# Votes are counted in thousandths of a frame, so that sums are exact.
FRAME = 1000
# A colour with fewer pixels than this is ignored, px: half a thousandth of a frame.
MIN_PIXELS = 170
# Every 8th column is read from the top down, and every 8th row for its brightness.
STEP = 8


@dataclasses.dataclass
class Statistics:
    """Sums over frames. A missing key is a sum of 0.

    Attributes:
        pixel_counts: split to name of a mask to pixels of each class.
        renders: number of renders that the votes are of.
        votes: kind of mask to [class][colour], see `votes`.
        agreement: [colour in ground][colour in clean], see `agreement`.
        pairs: frames whose `ground` and `clean` were compared by brightness.
        brightest: kind of mask to the thousandths of its coloured pixels that have
            full intensity, summed over the pairs.
        masks: kind of mask to the number of masks whose colours were checked.
        off_palette: kind of mask to the number of those that are off the palette.
        wrong_colors: kind of mask to the most frequent wrong colour of each mask off
            the palette, '(9, 8, 7)', to its pixels.
    """

    pixel_counts: dict[str, dict[str, list[int]]] = dataclasses.field(
        default_factory=dict
    )
    renders: int = 0
    votes: dict[str, list[list[int]]] = dataclasses.field(default_factory=dict)
    agreement: list[list[int]] = dataclasses.field(default_factory=list)
    pairs: int = 0
    brightest: dict[str, int] = dataclasses.field(default_factory=dict)
    masks: dict[str, int] = dataclasses.field(default_factory=dict)
    off_palette: dict[str, int] = dataclasses.field(default_factory=dict)
    wrong_colors: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)

    def add(self, other: "Statistics") -> None:
        """Add the sums of other frames."""
        for field in dataclasses.fields(self):
            total = _sum(getattr(self, field.name), getattr(other, field.name))
            setattr(self, field.name, total)


def _sum(mine: Any, more: Any) -> Any:
    """Return the sum of two numbers, lists or dicts; both stay as they are."""
    if isinstance(mine, dict):
        total = dict(mine)
        for key, value in more.items():
            total[key] = _sum(total[key], value) if key in total else value
        return total
    if isinstance(mine, list):
        if not (mine and more):
            return mine or more
        return [_sum(a, b) for a, b in zip(mine, more, strict=True)]
    return mine + more


def of_colors(
    frame: Frame, masks: dict[str, np.ndarray], problems: list[str]
) -> Statistics:
    """Return the Statistics of the colours of a frame's label images.

    Args:
        frame: whose they are.
        masks: uint8 [height, width, 3] by kind.
        problems: each mask off the palette adds one.
    """
    statistics = Statistics()
    # All kinds of a photo are one mask, in the colours of `clean`.
    by_file = {frame.masks[kind]: (kind, rgb) for kind, rgb in masks.items()}
    for name, (kind, rgb) in by_file.items():
        colors = CLEAN if frame.is_photo else kind
        group = PHOTO_MASK if frame.is_photo else kind
        statistics.masks[group] = 1
        off = palette.off_palette(rgb, colors)
        count = int(np.count_nonzero(off))
        if count > MAX_OFF_PALETTE * off.size:
            color, pixels = _most_frequent(rgb[off])
            statistics.off_palette[group] = 1
            statistics.wrong_colors[group] = {color: pixels}
            problems.append(
                f"{name}: {count} of {off.size} pixels ({count / off.size:.1%}) have "
                f"colours that a {colors} mask never has, most often RGB {color} "
                f"({pixels} pixels)"
            )
    if not frame.is_photo and masks.keys() == set(kaggle_layout.MASKS):
        shares = {kind: brightest_share(rgb) for kind, rgb in masks.items()}
        if None not in shares.values():
            statistics.pairs = 1
            statistics.brightest = {kind: share or 0 for kind, share in shares.items()}
    return statistics


def _most_frequent(colors: np.ndarray) -> tuple[str, int]:
    """Return the most frequent of uint8 [n, 3] as '(9, 8, 7)', and its count."""
    # Numpy sorts whole numbers twenty times as fast as rows.
    codes = colors.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    found, counts = np.unique(codes, return_counts=True)
    most = counts.argmax()
    color = tuple(int(found[most]).to_bytes(3, "big"))
    return str(color), int(counts[most])


def brightest_share(rgb: np.ndarray) -> int | None:
    """Return the thousandths of the coloured pixels that have full intensity.

    A `clean` mask has 1000. In `ground` the sky is at 226, and rocks go darker with
    distance. Every eighth row counts.

    Args:
        rgb: uint8 [height, width, 3].

    Returns:
        0 to FRAME; None where no pixel has a colour.
    """
    rows = rgb[::STEP]
    brightest = np.maximum(np.maximum(rows[..., 0], rows[..., 1]), rows[..., 2])
    colored = int(np.count_nonzero(brightest))
    if not colored:
        return None
    return round(FRAME * int(np.count_nonzero(brightest == 255)) / colored)


def of_classes(frame: Frame, ids: dict[str, np.ndarray]) -> Statistics:
    """Return the Statistics of a frame's class ids, uint8 [height, width] by kind."""
    counts = {mask_name(kind): count(mask).tolist() for kind, mask in ids.items()}
    return Statistics(pixel_counts={frame.split: counts})


def of_render(
    ids: dict[str, np.ndarray], top: np.ndarray | None, boxes: list[Box]
) -> Statistics:
    """Return the votes and the agreement of a render's masks.

    Args:
        ids: uint8 [height, width] by kind of mask, by the palette.
        top: uint8 [rows, width, 3], the upper rows of the render; None without one.
        boxes: of its large rocks.
    """
    statistics = Statistics(renders=1)
    if len(ids) > 1:
        pairs = count_pairs(ids[GROUND_MASK], ids[CLEAN])
        statistics.agreement = agreement(pairs)
    for kind, mask in ids.items():
        statistics.votes[kind] = votes(mask, top, boxes)
    return statistics


def votes(ids: np.ndarray, top: np.ndarray | None, boxes: list[Box]) -> list[list[int]]:
    """Return how well each colour of a label image fits each class.

    - ground: 1 for the most common colour.
    - sky: the share of its upper pixels that are dark, times the share of its pixels
      with only their own colour above.
    - large rock: the share of the boxes that it fills.
    - small rock: 0, since nothing shows it directly.

    Args:
        ids: uint8 [height, width], by the palette.
        top: as in `of_render`.
        boxes: likewise.

    Returns:
        [class][colour], each 0 to FRAME.
    """
    result = np.zeros((NUM_CLASSES, NUM_CLASSES))
    result[GROUND, count(ids).argmax()] = 1
    if top is not None:
        result[SKY] = dark_shares(ids[: len(top)], top) * uppermost_shares(ids)
    result[LARGE_ROCK] = box_shares(ids, boxes)
    return np.rint(FRAME * result).astype(int).tolist()


def dark_shares(ids: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Return the share of each colour's pixels that are dark in the picture.

    Args:
        ids: uint8 [height, width].
        rgb: uint8 [height, width, 3].

    Returns:
        float64 [NUM_CLASSES]; 0 for a colour with fewer than MIN_PIXELS.
    """
    is_dark = np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2]) < DARK
    pixels = _bincount(ids)
    return (pixels >= MIN_PIXELS) * _share(_bincount(ids[is_dark]), pixels)


def uppermost_shares(ids: np.ndarray) -> np.ndarray:
    """Return the share of each colour's pixels with only their own colour above.

    Every eighth column counts.

    Args:
        ids: uint8 [height, width].
    """
    columns = np.ascontiguousarray(ids[:, ::STEP].T)
    firsts = columns[:, 0]
    same = columns == firsts[:, np.newaxis]
    runs = np.where(same.all(axis=1), len(ids), same.argmin(axis=1))
    return _share(np.bincount(firsts, runs, NUM_CLASSES), count(columns))


def box_shares(ids: np.ndarray, boxes: list[Box]) -> np.ndarray:
    """Return the share of the boxes that each colour fills, float64 [NUM_CLASSES].

    A colour fills a box in which it has a third, and more than any other colour.
    """
    filled = np.zeros(NUM_CLASSES)
    for box in boxes:
        first_row, left, bottom, right = (round(edge) for edge in box)
        inside = _bincount(ids[first_row:bottom, left:right])
        winner = inside.argmax()
        filled[winner] += 3 * inside[winner] >= inside.sum() > 0
    return filled / max(len(boxes), 1)


def _bincount(ids: np.ndarray) -> np.ndarray:
    return np.bincount(ids.ravel(), minlength=NUM_CLASSES)


def count(ids: np.ndarray) -> np.ndarray:
    """Return the pixels of each class in a label image, uint8 [height, width]."""
    # Pillow counts bytes in half the time that numpy's bincount takes.
    return np.array(Image.fromarray(ids).histogram()[:NUM_CLASSES])


def count_pairs(ground: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return the pixels of each colour in ground (rows) by colour in clean (columns).

    Args:
        ground: uint8 [height, width], by the palette.
        clean: likewise.
    """
    pairs = ground * np.uint8(NUM_CLASSES) + clean
    counts = Image.fromarray(pairs).histogram()[: NUM_CLASSES**2]
    return np.array(counts).reshape(NUM_CLASSES, NUM_CLASSES)


def agreement(pairs: np.ndarray) -> list[list[int]]:
    """Return the overlap over the union of each colour in ground and each in clean.

    Rare colours count like common ones.

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
