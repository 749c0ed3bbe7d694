"""Draws lunar scenes in the Kaggle dataset's layout.

Run `python -m lunar_tfds.synthetic --output_dir=DIR --num_scenes=200`.
"""

import dataclasses
import sys
import time

from lunar_tfds import command_line, machine, settings
from lunar_tfds.settings import at_least, setting
from lunar_tfds.synthetic import variety, writer


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
    style: str = setting(
        variety.STANDARD,
        "How they look: photo is like photos taken on the Moon.",
        choices=tuple(variety.STYLES),
    )
    processes: int | None = setting(
        None, "How many at a time; one a core by default.", at_least(1)
    )

    def __post_init__(self):
        settings.check(self)


def main(drawing: Drawing) -> None:
    """Draws the scenes that are not there yet and says what comes next."""
    start = time.monotonic()
    folder, count = drawing.output_dir, drawing.num_scenes
    new = writer.write_scenes(
        folder, count, drawing.seed, drawing.processes, style=drawing.style
    )
    peak = machine.peak_memory(of_workers=True)  # With workers, they draw.
    largest = f", largest process {peak / 1e6:.0f} MB" if peak else ""
    print(
        f"{new} scenes drawn, {count - new} already there: {folder}\n"
        f"{new / (time.monotonic() - start):.2f} scenes/s{largest}\n"
        f"Next: tfds build lunar_rocks --manual_dir={folder}"
    )


if __name__ == "__main__":
    sys.exit(command_line.run(Drawing, main))
