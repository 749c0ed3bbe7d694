"""The dataset's text files: large-rock boxes and the author's lists of defects."""

import csv
import io
import re

from lunar_tfds import kaggle_layout
from lunar_tfds.kaggle_layout import BOXES_ORIGIN, FRAME_HEIGHT, FRAME_WIDTH

# (top, left, bottom, right), px: first row and column inside, first ones outside.
Box = tuple[float, float, float, float]


def read_boxes(data: bytes) -> dict[str, list[Box]]:
    """Return the large-rock boxes of each frame.

    The file counts pixel centres from 1, as MATLAB does: a box that begins with the
    first column has X = 0.5, so its first column, counted from 0, is X - 0.5.

    Args:
        data: bytes of bounding_boxes.csv.

    Returns:
        The Boxes by frame id ('0001'), clipped to the frame.

    Raises:
        ValueError: wrong header, or a row that is not a box in a frame.
    """
    rows = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""))
    try:
        header = [cell.strip() for cell in next(rows, [])]
        expected = list(kaggle_layout.BOXES_HEADER)
        if header != expected:
            raise ValueError(f"header {header}, expected {expected}")
        boxes: dict[str, list[Box]] = {}
        for row in rows:
            if row:
                frame_id, box = _box(row, rows.line_num)
                boxes.setdefault(frame_id, []).append(box)
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num}: {error}") from error
    return boxes


def _box(row: list[str], line: int) -> tuple[str, Box]:
    try:
        frame = int(row[0])
        left, top, width, height = (float(cell) for cell in row[1:])
    except ValueError as error:
        raise ValueError(f"line {line}: {row} is not a frame and four numbers") from (
            error
        )
    left, top = left - BOXES_ORIGIN, top - BOXES_ORIGIN
    right, bottom = min(left + width, FRAME_WIDTH), min(top + height, FRAME_HEIGHT)
    left, top = max(left, 0.0), max(top, 0.0)
    if not (left < right and top < bottom and frame >= 0):
        raise ValueError(
            f"line {line}: {row} is no box in a frame of {FRAME_WIDTH}x{FRAME_HEIGHT}"
        )
    return kaggle_layout.frame_id(frame), (top, left, bottom, right)


def read_defect_list(data: bytes) -> set[str]:
    """Return the set of frame ids ('0001') in a list of one id a line.

    Only the digits of a line count: '42', '0042' and 'render0042.png' are one frame.

    Args:
        data: bytes of a `*_IDs.txt` file.

    Raises:
        ValueError: a line without a number, or with several.
    """
    ids = set()
    text = data.decode("utf-8-sig", "replace")
    for number, line in enumerate(text.splitlines(), start=1):
        digits = re.findall(r"\d+", line)
        if len(digits) == 1 and len(digits[0]) <= 9:
            ids.add(kaggle_layout.frame_id(int(digits[0])))
        elif line.strip():
            raise ValueError(f"line {number}: {line[:60]!r} is not one frame id")
    return ids
