"""An evaluation as one HTML file: no network, no scripts, light and dark."""

import pathlib
from typing import Any

from lunar_tfds import palette
from model.evaluation import pictures
from model.evaluation.calibration import CALIBRATION_BINS
from model.evaluation.scoring import Evaluation, PicturedFrame
from model.inference import theme
from model.inference.pictures import data_address, data_uri
from model.network.extras import need

# Width of a picture in the report, px: a frame's 720 would make it ten megabytes.
PICTURE_WIDTH = 480
# Fewer frames than this give an interval that says little.
FEW_FRAMES = 20

TEMPLATE = "report.html.j2"


def check_packages() -> None:
    """Checks that what a report is made with is installed.

    Raises:
        ValueError: a package is missing; says how to install it.
    """
    for package in ("jinja2", "matplotlib"):
        need(package, "the report of an evaluation")


def render(metrics: dict[str, Any], evaluation: Evaluation) -> str:
    """Returns the report as HTML text.

    Args:
        metrics: dict, what metrics.json holds.
        evaluation: `Evaluation`, for its worst and best frames.

    Raises:
        ValueError: see `check_packages`.
    """
    check_packages()
    environment = theme.environment(pathlib.Path(__file__).parent)
    environment.filters["interval"] = _interval
    bins = metrics["calibration"]
    pixels = [sum(row) for row in metrics["confusion_matrix"]]
    return environment.get_template(TEMPLATE).render(
        metrics=metrics,
        intervals=metrics["confidence_intervals_95"],
        class_colors=dict(zip(palette.CLASS_NAMES, palette.CLASS_COLORS, strict=True)),
        class_shares=[count / max(sum(pixels), 1) for count in pixels],
        sure_share=bins[-1]["pixels"] / max(sum(row["pixels"] for row in bins), 1),
        num_bins=CALIBRATION_BINS,
        few_frames=FEW_FRAMES,
        themes=theme.THEMES,
        charts=_charts(metrics),
        error_colors={pictures.RIGHT_ROCK: pictures.RIGHT_ROCK_COLOR}
        | pictures.ERROR_COLORS,
        galleries={
            "Worst frames": [_panels(frame) for frame in evaluation.worst],
            "Best frames": [_panels(frame) for frame in evaluation.best],
        },
    )


def _charts(metrics: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Returns `data:` addresses of each chart for a light and a dark page."""
    # Only here, so that what imports this module does without matplotlib.
    from model.evaluation import charts

    matrix, names = metrics["confusion_matrix"], metrics["class_names"]
    drawn: dict[str, dict[str, str]] = {"confusion": {}, "calibration": {}}
    for scheme, colors in theme.THEMES.items():
        confusion = charts.confusion_chart(matrix, names, colors)
        calibration = charts.calibration_chart(metrics["calibration"], colors)
        drawn["confusion"][scheme] = data_address("image/svg+xml", confusion)
        drawn["calibration"][scheme] = data_address("image/svg+xml", calibration)
    return drawn


def _panels(frame: PicturedFrame) -> dict[str, Any]:
    """Returns a frame's id and score, and its pictures by what they show."""
    image = pictures.fit_to(frame.image, frame.mask.shape)
    errors = pictures.error_map(image, frame.mask, frame.predicted_mask)
    shown = {
        "image": (image, True),
        "truth": (palette.colorize(frame.mask), False),
        "prediction": (palette.colorize(frame.predicted_mask), False),
        "errors": (errors, True),
    }
    return {
        "frame_id": frame.frame_id,
        "mean_iou": frame.mean_iou,
        "pictures": {
            name: data_uri(pixels, width=PICTURE_WIDTH, photo=photo)
            for name, (pixels, photo) in shown.items()
        },
    }


def _interval(bounds: list[float] | None, form: str = ".3f") -> str:
    return "-" if bounds is None else " to ".join(f"{b:{form}}" for b in bounds)
