"""The curves of a run as a picture."""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lunar_tfds.atomic_files import atomic_path
from model.network.extras import need

CURVES_FILE = "curves.png"
# Inches, at 100 pixels each.
_SIZE, _PIXELS = (12.4, 4.0), 100
# Okabe and Ito 2008: told apart by colour-blind readers too.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
# Up to so many epochs each has a dot: one epoch alone is no line.
_DOTS = 30


def check_packages() -> None:
    """Raises ValueError where matplotlib is missing; says how to install it."""
    need("matplotlib", "the picture of a run's curves")


def draw_curves(
    workdir: str | os.PathLike[str],
    history: Sequence[Mapping[str, float]],
    class_names: Sequence[str],
) -> None:
    """Writes `WORKDIR/curves.png`: losses and validation IoU against the epoch.

    Args:
        workdir: folder of the run.
        history: rows of the run, dicts with `epoch` from 1; at least one.
        class_names: names after `val_iou_` in the rows.

    Raises:
        OSError: the file could not be written; what was there before is unharmed.
        ValueError: matplotlib is not installed.
    """
    # Only here, so that what imports this module does without the package.
    check_packages()
    from matplotlib.figure import Figure

    losses = {"training": "loss", "validation": "val_loss"}
    scores = {"mean": "val_mean_iou"}
    scores |= {name: f"val_iou_{name}" for name in class_names}
    # Without pyplot, which holds state for the whole process and may want a screen.
    figure = Figure(figsize=_SIZE, dpi=_PIXELS, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, "Loss", history, losses)
    _draw(right, "Validation IoU", history, scores)
    left.set_ylim(bottom=0)
    right.set_ylim(0, 1)
    with atomic_path(pathlib.Path(workdir) / CURVES_FILE) as temporary:
        figure.savefig(temporary, format="png")


def _draw(
    axes: Any,
    title: str,
    history: Sequence[Mapping[str, float]],
    columns: Mapping[str, str],
) -> None:
    """Draws one line for each of {label: column}, without absent values."""
    from matplotlib.ticker import MaxNLocator

    axes.set_prop_cycle(color=_COLORS)
    marker = "o" if len(history) <= _DOTS else ""
    for label, column in columns.items():
        known = [row for row in history if math.isfinite(row.get(column, math.nan))]
        epochs, values = ([row[name] for row in known] for name in ("epoch", column))
        axes.plot(epochs, values, marker=marker, markersize=4, label=label)
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color="#dddddd")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
