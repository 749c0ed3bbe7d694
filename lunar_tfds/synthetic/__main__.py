"""Draws lunar scenes in the Kaggle dataset's layout.

Run `python -m lunar_tfds.synthetic --output_dir=DIR --num_scenes=200`.
"""

import contextlib
import dataclasses
import sys
import time

from lunar_tfds import command_line, settings
from lunar_tfds.settings import at_least, setting
from lunar_tfds.synthetic import writer


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Which scenes to draw, and where to."""

    output_dir: str = setting(
        None,
        "Folder for images/ and bounding_boxes.csv.",
        is_path=True,
        missing="name a new folder",
    )
    num_scenes: int = setting(200, "How many.", at_least(1))
    seed: int = setting(0, "Of the scenes.", at_least(0))
    processes: int | None = setting(
        None, "How many at a time; one a core by default.", at_least(1)
    )

    def __post_init__(self):
        settings.check(self)


def main(drawing: Drawing) -> None:
    """Draws the scenes that are not there yet and says what comes next."""
    start = time.monotonic()
    folder, count = drawing.output_dir, drawing.num_scenes
    new = writer.write_scenes(folder, count, drawing.seed, drawing.processes)
    print(
        f"{new} scenes drawn, {count - new} already there: {folder}\n"
        f"{new / (time.monotonic() - start):.2f} scenes/s{peak_memory()}\n"
        f"Next: tfds build lunar_rocks --manual_dir={folder}"
    )


def peak_memory() -> str:
    """Returns the most memory that a process has held which drew scenes, as text."""
    with contextlib.suppress(ImportError):  # Windows does not tell.
        import resource

        # This process's own figure counts what started it, in Linux; with several
        # processes it draws nothing.
        peak = (
            resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        )
        # Kilobytes on Linux, bytes on macOS.
        megabytes = peak / (1e6 if sys.platform == "darwin" else 1e3)
        return f", largest process {megabytes:.0f} MB"
    return ""


if __name__ == "__main__":
    sys.exit(command_line.run(Drawing, main))
