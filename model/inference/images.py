"""Reads people's images: any size, any mode, any format that Pillow knows."""

import io
import pathlib

import numpy as np
from PIL import Image, ImageOps

from lunar_tfds.pictures import MAX_PIXELS

# Bytes of one compressed file; a zip member beyond this is not unpacked.
MAX_BYTES = 1 << 30
# Bits that a 16-bit file may really use; many cameras fill 10 or 12 of them.
_BIT_DEPTHS = (8, 10, 12, 14, 16)
_SIXTEEN_BIT = frozenset(("I", "I;16", "I;16B", "I;16L", "I;16N"))


def read_image(path: str | pathlib.Path) -> np.ndarray:
    """Returns the image file `path` as uint8 [height, width, 3] RGB.

    Raises:
        ValueError: not a readable image, empty, or larger than `MAX_PIXELS`.
        OSError: the file cannot be opened.
    """
    path = pathlib.Path(path)
    check_file_size(path.stat().st_size)
    return decode_image(path.read_bytes())


def decode_image(data: bytes) -> np.ndarray:
    """Returns encoded image bytes as uint8 [height, width, 3] RGB, upright.

    A camera's rotation (EXIF) is applied; transparency shows black, the colour of the
    lunar sky; 16-bit greys are divided down by the smallest of 10, 12, 14 or 16 bits
    that holds their largest value; floats count as [0, 1], or [0, 255] beyond 1. Of
    several pages the first is read.

    Args:
        data: bytes of a PNG, JPEG, TIFF or any other format that Pillow reads.

    Raises:
        ValueError: not an image, truncated, empty, or larger than `MAX_PIXELS`.
    """
    if not data:
        raise ValueError("the file is empty (0 bytes)")
    try:
        # From 89 million pixels Pillow warns, too. The warning stays: to hush it would
        # change the filters of all threads.
        image = Image.open(io.BytesIO(data))
        check_size(*image.size)
        return _to_rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{error} Crop it or scale it down first") from error
    except Image.UnidentifiedImageError:
        raise ValueError("not an image, or of a format that is not read") from None
    except (OSError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise ValueError(f"damaged or truncated image: {error}") from error


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Returns a Pillow image of any mode as uint8 [height, width, 3]."""
    if image.mode in _SIXTEEN_BIT:
        return _grey_to_rgb(_from_integers(np.asarray(image)))
    if image.mode == "F":
        return _grey_to_rgb(_from_floats(np.asarray(image)))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return np.asarray(image.convert("RGB"))


def _from_integers(pixels: np.ndarray) -> np.ndarray:
    """Returns integer greys of up to 16 bits as uint8."""
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high >= 1 << 16:
        raise ValueError(f"greys must lie in 0..65535: got {low} to {high}")
    bits = next(depth for depth in _BIT_DEPTHS if high < 1 << depth)
    return np.rint(pixels * (255.0 / ((1 << bits) - 1))).astype(np.uint8)


def _from_floats(pixels: np.ndarray) -> np.ndarray:
    """Returns float greys in [0, 1] or [0, 255] as uint8."""
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 255):  # Also catches nan.
        raise ValueError(
            f"float greys must lie in [0, 1] or [0, 255]: got {low:g} to {high:g}"
        )
    return np.rint(pixels * (255.0 if high <= 1 else 1.0)).astype(np.uint8)


def _grey_to_rgb(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., np.newaxis], 3, axis=-1)


def check_size(width: int, height: int) -> None:
    """Raises ValueError for a picture of more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{width}x{height} is {width * height / 1e6:.0f} million pixels and "
            f"the limit is {MAX_PIXELS / 1e6:.0f}. Crop it or scale it down first"
        )


def check_file_size(num_bytes: int) -> None:
    """Raises ValueError for a file of more than `MAX_BYTES`."""
    if num_bytes > MAX_BYTES:
        raise ValueError(
            f"{num_bytes / 1e6:.0f} MB, and the limit is {MAX_BYTES / 1e6:.0f} MB. "
            "Crop it or scale it down first"
        )
