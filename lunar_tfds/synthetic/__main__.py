"""python -m lunar_tfds.synthetic --output_dir=DIR --num_scenes=N: draws scenes."""

import contextlib
import sys
import time

from absl import app, flags

from lunar_tfds.synthetic import writer

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Folder for images/ and bounding_boxes.csv.", required=True
)
_NUM_SCENES = flags.DEFINE_integer("num_scenes", 200, "How many.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the scenes.", lower_bound=0)
_PROCESSES = flags.DEFINE_integer(
    "processes", None, "How many at a time; one a core by default.", lower_bound=1
)


def main(argv):
    """Runs the command line."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    start = time.monotonic()
    try:
        new = writer.write_scenes(
            _OUTPUT_DIR.value, _NUM_SCENES.value, _SEED.value, _PROCESSES.value
        )
    except ValueError as error:
        sys.exit(str(error))
    print(
        f"{new} scenes drawn, {_NUM_SCENES.value - new} already there: "
        f"{_OUTPUT_DIR.value}\n"
        f"{new / (time.monotonic() - start):.2f} scenes/s{peak_memory()}\n"
        f"Next: tfds build lunar_rocks --manual_dir={_OUTPUT_DIR.value}"
    )


def peak_memory():
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
        peak /= 1e6 if sys.platform == "darwin" else 1e3
        return f", largest process {peak:.0f} MB"
    return ""


if __name__ == "__main__":
    app.run(main)
