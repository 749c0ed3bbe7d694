"""The curves of a run as a picture, drawn with Pillow."""

import math
import pathlib

from PIL import Image, ImageDraw, ImageFont

from lunar_tfds.atomic_files import atomic_path

CURVES_FILE = "curves.png"
# Pixels.
_WIDTH, _HEIGHT, _MARGIN, _LEGEND = 620, 400, 56, 150
_SAMPLES = 2  # Drawn twice as large and reduced: smooth lines.
# Okabe and Ito 2008: told apart by colour-blind readers too.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
_TICKS = 5


def draw_curves(workdir, history, class_names):
    """Writes `WORKDIR/curves.png`: losses and validation IoU against the epoch.

    Args:
        workdir: folder of the run.
        history: rows of the run, dicts with `epoch` from 1; at least one.
        class_names: names after `val_iou_` in the rows.
    """
    losses = {"training": "loss", "validation": "val_loss"}
    scores = {"mean": "val_mean_iou"}
    scores |= {name: f"val_iou_{name}" for name in class_names}
    picture = Image.new("RGB", (2 * _WIDTH, _HEIGHT), "white")
    picture.paste(_chart("Loss", _series(history, losses)), (0, 0))
    chart = _chart("Validation IoU", _series(history, scores), limits=(0.0, 1.0))
    picture.paste(chart, (_WIDTH, 0))
    with atomic_path(pathlib.Path(workdir) / CURVES_FILE) as temporary:
        picture.save(temporary)


def _series(history, columns):
    """Returns {label: [(epoch, value)]} without absent values."""
    return {
        label: [
            (row["epoch"], row[column])
            for row in history
            if math.isfinite(row.get(column, math.nan))
        ]
        for label, column in columns.items()
    }


def _chart(title, series, limits=None):
    """Returns one chart as an image; `limits` of the value axis, or from the data."""
    points = [point for line in series.values() for point in line] or [(1, 0.0)]
    epochs = [epoch for epoch, _ in points]
    low, high = limits or (0.0, max(value for _, value in points) or 1.0)
    first, last = min(epochs), max(max(epochs), min(epochs) + 1)
    right, bottom = _WIDTH - _LEGEND, _HEIGHT - _MARGIN
    scale = _SAMPLES
    image = Image.new("RGB", (_WIDTH * scale, _HEIGHT * scale), "white")
    draw = ImageDraw.Draw(image)

    def place(epoch, value):
        x = _MARGIN + (epoch - first) / (last - first) * (right - _MARGIN)
        y = bottom - (value - low) / (high - low) * (bottom - _MARGIN)
        return x * scale, y * scale

    def write(x, y, text, anchor, size=13):
        font = ImageFont.load_default(size * scale)
        draw.text((x * scale, y * scale), text, "#222222", font, anchor)

    write(_MARGIN, _MARGIN / 2, title, "lm", 16)
    write((_MARGIN + right) / 2, _HEIGHT - 14, "epoch", "mm")
    for tick in range(_TICKS + 1):
        value = low + (high - low) * tick / _TICKS
        (x0, y), (x1, _) = place(first, value), place(last, value)
        draw.line([x0, y, x1, y], "#dddddd", scale)
        write(_MARGIN - 6, y / scale, f"{value:.2g}", "rm")
    for epoch in sorted({round(first + (last - first) * t / _TICKS) for t in range(6)}):
        write(place(epoch, low)[0] / scale, bottom + 14, str(epoch), "mm")
    for index, (label, line) in enumerate(series.items()):
        color, y = _COLORS[index], _MARGIN + 20 * index
        spots = [place(*point) for point in line]
        draw.line(spots, color, 2 * scale, joint="curve")
        if len(spots) <= 30:
            for x, spot_y in spots:
                draw.circle((x, spot_y), 3 * scale, color)
        draw.line([n * scale for n in (right + 12, y, right + 32, y)], color, 3 * scale)
        write(right + 38, y, label, "lm")
    return image.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
