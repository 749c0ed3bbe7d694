"""Step 3 of a frame: files become pixels, as far as a build looks at them."""

import dataclasses
import io

import numpy as np
from PIL import Image

from lunar_tfds import kaggle_layout, pictures
from lunar_tfds.lunar_rocks import jpeg, png, problems
from lunar_tfds.lunar_rocks.frame_files import Frame

# Sky reaches the upper edge of every frame that has any, so these rows tell, px.
TOP_ROWS = 16


@dataclasses.dataclass(frozen=True)
class Pixels:
    """What a frame shows.

    Attributes:
        image: the render or photo as an 8-bit RGB PNG file, its own if it is one; b""
            if it cannot be used.
        top: uint8 [TOP_ROWS, width, 3], the upper rows of a render; None for a photo.
        masks: the label images that can be used, uint8 [height, width, 3] by kind. A
            photo has one, which stands for every kind.
    """

    image: bytes
    top: np.ndarray | None
    masks: dict[str, np.ndarray]


def decode(files: dict[str, bytes], frame: Frame, reasons: list[str]) -> Pixels:
    """Returns the Pixels of a frame.

    Args:
        files: bytes by name, verified; those of a frame with reasons may lack some.
        frame: whose files they are.
        reasons: why it cannot be used; each file with damaged pixels adds one.
    """
    image, top = b"", None
    if frame.image in files:
        with problems.of_file(frame.image, reasons):
            image = files[frame.image]
            if kaggle_layout.is_jpeg(frame.image):
                image = pictures.to_png(jpeg.to_rgb(image), compress_level=1)
            elif not png.is_rgb(image):
                image = pictures.to_png(to_rgb(image), compress_level=1)
            if not frame.is_photo:
                top = to_rgb(png.top_rows(image, TOP_ROWS))[:TOP_ROWS]
    decoded: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(frame.masks.values()):
        if name in files:
            with problems.of_file(name, reasons):
                decoded[name] = to_rgb(files[name])
    masks = {
        kind: decoded[name] for kind, name in frame.masks.items() if name in decoded
    }
    return Pixels(image, top, masks)


def to_rgb(data: bytes) -> np.ndarray:
    """Returns the pixels of a verified PNG file, uint8 [height, width, 3].

    Each channel is contiguous: numpy compares such bytes ten times as fast as every
    third.

    Raises:
        ValueError: the pixel data are damaged.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"corrupt pixel data: {error}") from error
    image = image if image.mode == "RGB" else image.convert("RGB")
    channels = b"".join(image.tobytes("raw", channel) for channel in "RGB")
    planes = np.frombuffer(channels, np.uint8).reshape(3, image.height, image.width)
    return planes.transpose(1, 2, 0)
