"""What several commands share: exit statuses and fields of their settings."""

from typing import Any

from lunar_tfds import settings
from model.inference.rocks import MIN_AREA
from model.network.checkpoints import DEFAULT_WORKDIR

# Besides `command_line`'s 0 (done), 1 (an error) and 130 (Ctrl-C).
# predict: some image could not be read and was left out.
EXIT_SKIPPED = 2
# evaluate and export: the scores are clearly below those compared with.
EXIT_WORSE = 3


def output_dir(default: str, help: str = "Folder of the results.") -> Any:
    """Returns the field of --output_dir."""
    return settings.setting(default, help, is_path=True)


def tta() -> Any:
    """Returns the field of --tta."""
    return settings.setting(
        False, "Average over mirrored and scaled views, six times the work."
    )


def tile() -> Any:
    """Returns the field of --tile."""
    return settings.setting(
        False,
        "Cut photos larger than a training frame (720x480) into overlapping tiles.",
    )


def checkpoint_or_starter() -> Any:
    """Returns the field of --checkpoint where the starter stands in for a run."""
    return settings.setting(
        None,
        "A .keras file, a workdir: its best, starter, or starter_lite, which is small "
        "and ten times as fast. By default "
        f"{DEFAULT_WORKDIR}, or starter where that holds no run.",
        is_path=True,
    )


def min_rock_area() -> Any:
    """Returns the field of --min_rock_area."""
    return settings.setting(
        MIN_AREA,
        "Smaller rocks, px, are neither counted nor listed.",
        settings.at_least(1),
    )


def batch_size() -> Any:
    """Returns the field of --batch_size, of inference."""
    return settings.setting(
        None, "Images run at once; by device.", settings.at_least(1)
    )
