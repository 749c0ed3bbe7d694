"""Step 2 of a frame: are its files whole, and of the right size?

No pixel is decoded.
"""

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks import load, png, problems
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.sources import Source


def verify(files: dict[str, bytes], frame: Frame) -> None:
    """Checks every chunk of every file of a frame, and the size of a render's.

    Raises:
        problems.UnusableFileError: a file is damaged or of the wrong size.
    """
    for name, data in files.items():
        with problems.of_file(name):
            header = png.verify(data)
            size = header.width, header.height
            if not frame.is_photo and size != kaggle_layout.FRAME_SIZE:
                raise ValueError(
                    f"wrong size: {header.width}x{header.height}, a frame is "
                    f"{kaggle_layout.FRAME_WIDTH}x{kaggle_layout.FRAME_HEIGHT}"
                )


def find_problem(source: Source, frame: Frame) -> str | None:
    """Returns what is wrong with the files of a frame, or None."""
    try:
        verify(load.load(source, frame), frame)
    except problems.UnusableFileError as error:
        return str(error)
    return None
