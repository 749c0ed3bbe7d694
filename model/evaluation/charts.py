"""Charts of an evaluation, as SVG files; drawn without pyplot, which is global."""

import io
import math
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from model.inference.theme import Theme

# Width and height in inches, and points of the text: a page shows it 520 px wide.
SIZE, FONT_SIZE = (5.2, 4.4), 9


def confusion_chart(
    matrix: list[list[int]], class_names: list[str], theme: Theme
) -> bytes:
    """Returns the confusion matrix as SVG: shares of each true class's pixels.

    Args:
        matrix: [C, C] pixels, rows the truth.
        class_names: by class id.
        theme: of the page.
    """
    counts = np.array(matrix, float)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, where=totals > 0, out=np.zeros_like(counts))
    figure, axes = _figure(theme)
    for (row, column), share in np.ndenumerate(shares):
        # The colour says right or wrong; how strong it is, the root of the share.
        color = theme.right if row == column else theme.wrong
        cell = Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=color)
        cell.set(alpha=0.06 + 0.7 * math.sqrt(share), linewidth=0)
        axes.add_patch(cell)
        text = f"{share:.1%}" if totals[row, 0] else "absent"
        note = f"{matrix[row][column]:,} px"
        axes.text(column, row, text, ha="center", color=theme.ink)
        axes.text(column, row + 0.25, note, ha="center", color=theme.ink, fontsize=7)
    names = [name.replace("_", " ") for name in class_names]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="truth")
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return _svg(figure)


def calibration_chart(bins: list[dict[str, Any]], theme: Theme) -> bytes:
    """Returns how often each confidence was right, above how often it occurred.

    Args:
        bins: rows of `calibration.calibration_table`.
        theme: of the page.
    """
    figure, (upper, lower) = _figure(theme, nrows=2, sharex=True, height_ratios=(3, 1))
    filled = [row for row in bins if row["pixels"]]
    left = [row["from"] for row in filled]
    width = [0.94 * (row["to"] - row["from"]) for row in filled]
    total = sum(row["pixels"] for row in filled)
    accuracy = [row["accuracy"] for row in filled]
    upper.bar(left, accuracy, width, align="edge", color=theme.right, alpha=0.75)
    upper.plot([0, 1], [0, 1], "--", color=theme.soft, linewidth=1)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share right")
    pixels = [row["pixels"] / total for row in filled]
    lower.bar(left, pixels, width, align="edge", color=theme.soft, alpha=0.75)
    lower.set(ylim=(0, 1), xlabel="probability of the likeliest class")
    lower.set_ylabel("share of pixels")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return _svg(figure)


def _figure(theme: Theme, **grid: Any) -> tuple[Figure, Any]:
    """Returns a figure and its axes, in a grid as of `Figure.subplots`."""
    figure = Figure(SIZE, facecolor=theme.card, layout="constrained")
    axes = figure.subplots(**grid)
    for each in np.atleast_1d(axes):
        _paint(each, theme)
    return figure, axes


def _paint(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor(theme.card)
    axes.tick_params(color=theme.soft, labelcolor=theme.ink, labelsize=FONT_SIZE)
    axes.spines[:].set_color(theme.soft)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=theme.soft, fontsize=FONT_SIZE)


def _svg(figure: Figure) -> bytes:
    file = io.BytesIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    # Names inside the file are made from the salt: the same chart has the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "lunar"}):
        figure.savefig(file, format="svg", metadata=metadata)
    # What stands before names a schema at an address, which nothing needs.
    return file.getvalue()[file.getvalue().index(b"<svg") :]
