"""Step 2 of a frame: are its files whole, and of the right size?

No pixel is decoded.
"""

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks import load, png, problems
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.sources import Source


def verify(
    files: dict[str, bytes], frame: Frame, reasons: list[str]
) -> dict[str, bytes]:
    """Returns the sound files of a frame: every chunk is whole, a render's size right.

    Args:
        files: bytes by name.
        frame: whose files they are.
        reasons: why it cannot be used; each other file adds one.
    """
    sound = {}
    for name, data in files.items():
        with problems.of_file(name, reasons):
            header = png.verify(data)
            size = header.width, header.height
            if not frame.is_photo and size != kaggle_layout.FRAME_SIZE:
                raise ValueError(
                    f"wrong size: {header.width}x{header.height}, a frame is "
                    f"{kaggle_layout.FRAME_WIDTH}x{kaggle_layout.FRAME_HEIGHT}"
                )
            sound[name] = data
    return sound


def find_problem(source: Source, frame: Frame) -> str | None:
    """Returns what is wrong with the files of a frame, or None."""
    reasons: list[str] = []
    verify(load.load(source, frame, reasons), frame, reasons)
    return problems.of_frame(reasons)
