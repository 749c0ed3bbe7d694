"""JPEG files, as some copies have their renders, and people their photos."""

import io

import numpy as np
from PIL import Image

from lunar_tfds.pictures import MAX_PIXELS, orientation_of, turn


def to_rgb(data: bytes) -> np.ndarray:
    """Returns the pixels of a JPEG file the right way up, uint8 [height, width, 3].

    Raises:
        ValueError: it is none, or damaged.
    """
    if not data:
        raise ValueError("empty file")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=("JPEG",))
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(
                f"{image.width}x{image.height} is more than {MAX_PIXELS} pixels"
            )
        image.load()
        # A camera held upright stores its picture lying, and says so.
        return turn(np.asarray(image.convert("RGB")), orientation_of(image))
    except Image.UnidentifiedImageError as error:
        raise ValueError("not a JPEG file, though it is called one") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"corrupt JPEG file: {error}") from error
