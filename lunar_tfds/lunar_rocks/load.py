"""Step 1 of a frame: its files as bytes."""

from lunar_tfds.lunar_rocks import problems
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.sources import Source


def load(source: Source, frame: Frame, reasons: list[str]) -> dict[str, bytes]:
    """Returns the bytes of each file of a frame, by name.

    Args:
        source: where the files are.
        frame: whose files they are.
        reasons: why it cannot be used; each file that cannot be read adds one.
    """
    files = {}
    for name in frame.files:
        with problems.of_file(name, reasons):
            files[name] = source.read(name)
    return files
