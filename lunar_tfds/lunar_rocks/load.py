"""Step 1 of a frame: its files as bytes."""

from lunar_tfds.lunar_rocks import problems
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.sources import Source


def load(source: Source, frame: Frame) -> dict[str, bytes]:
    """Returns the bytes of each file of a frame, by name.

    Raises:
        problems.UnusableFileError: a file cannot be read.
    """
    files = {}
    for name in frame.files:
        with problems.of_file(name):
            files[name] = source.read(name)
    return files
