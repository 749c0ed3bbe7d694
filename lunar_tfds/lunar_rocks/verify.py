"""Step 2 of a frame: are its files whole, and of the right size?

No pixel of a PNG file is decoded.
"""

from lunar_tfds import kaggle_layout
from lunar_tfds.lunar_rocks import jpeg, load, png, problems
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
            size = _size(name, data)
            if not frame.is_photo and size != kaggle_layout.FRAME_SIZE:
                raise ValueError(
                    f"wrong size: {size[0]}x{size[1]}, a frame is "
                    f"{kaggle_layout.FRAME_WIDTH}x{kaggle_layout.FRAME_HEIGHT}"
                )
            sound[name] = data
    return sound


def _size(name: str, data: bytes) -> tuple[int, int]:
    """Returns (width, height) of a whole file, px."""
    if kaggle_layout.is_jpeg(name):  # No checksums: decoding alone shows damage.
        height, width, _ = jpeg.to_rgb(data).shape
        return width, height
    header = png.verify(data)
    return header.width, header.height


def find_problem(source: Source, frame: Frame) -> str | None:
    """Returns what is wrong with the files of a frame, or None."""
    reasons: list[str] = []
    verify(load.load(source, frame, reasons), frame, reasons)
    return problems.of_frame(reasons)
