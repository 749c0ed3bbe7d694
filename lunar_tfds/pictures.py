"""Pixels as the bytes of a PNG file."""

import io

import numpy as np
from PIL import Image, PngImagePlugin

# Larger pictures are refused by their header: a photo of the Moon has 4 megapixels, and
# a header that claims far more is hostile.
MAX_PIXELS = 64_000_000


def to_png(
    pixels: np.ndarray, *, compress_level: int = 6, text: dict[str, str] | None = None
) -> bytes:
    """Returns a PNG file.

    Args:
        pixels: uint8 [height, width] or [height, width, 3], RGB.
        compress_level: zlib's, 0 to 9.
        text: entries to store beside the pixels.
    """
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(file, "PNG", pnginfo=info, compress_level=compress_level)
    return file.getvalue()
