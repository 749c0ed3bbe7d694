"""Decodes what Pillow cannot, or only by its high bytes: 16-bit files, other numbers.

Of 16-bit colour Pillow keeps the high byte, so that 4095, white of 12 bits, is 15.
"""

import io
import logging
import re
import struct
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from lunar_tfds.image_arrays import MAX_PIXELS, ORIENTATION, row_strips, turn
from model.inference.bit_depth import DEPTHS, Picture, from_numbers

# It logs what it dislikes about a file; what matters is raised.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_SIZE_MARKER = b"\xff\x4f\xff\x51"  # Of a JPEG 2000 stream, which starts with it.
_SGI = b"\x01\xda"
START = 32  # Bytes of a file that tell most of its kinds.
_MAX_SAMPLES = 1 << 30  # Bytes of a TIFF's samples, unpacked.
# TIFF's tags.
_MAX_VALUE, _MAX_SAMPLE = 281, 341
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2  # Its photometric interpretations.
_ALPHA = 2  # A further sample by which colours are not yet multiplied.


class Refused(ValueError):
    """An image that is whole, but not read; the message says why."""


def decode(data: bytes) -> Picture | None:
    """Returns the picture in a file that stores more than 8 bits, or None for Pillow.

    Args:
        data: bytes of any file.

    Raises:
        Refused: too large, or samples of a kind that is not read.
        Exception: whatever the libraries raise of a damaged file.
    """
    if data.startswith(_PNG) and data[24:25] == b"\x10":
        check_size(*struct.unpack(">II", data[16:24]))
        return _png(data)
    if data.startswith(_JPEG2000):
        return _jpeg2000(data)
    if data.startswith(_TIFF):
        return _tiff(data)
    if data[:2] == b"P6":
        return _pixmap(data)
    if data.startswith(_SGI) and data[3:4] == b"\x02":
        raise Refused("SGI of 16 bits is not read. Save it as PNG or TIFF")
    return None


def may_be_deep(start: bytes) -> bool:
    """Returns whether a file may store more than 8 bits, by its first `START` bytes."""
    if start.startswith(_PNG):
        return start[24:25] == b"\x10"
    return not start.startswith((b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM"))


def check_size(width: int, height: int) -> None:
    """Raises Refused for a picture of no pixels, or of more than `MAX_PIXELS`."""
    if width < 1 or height < 1:
        raise Refused(f"damaged image: {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        raise Refused(
            f"{width}x{height} is {width * height / 1e6:.0f} million pixels and "
            f"the limit is {MAX_PIXELS / 1e6:.0f}. Crop it or scale it down first"
        )


def flat(pixels: np.ndarray, declared: int | None) -> Picture:
    """Returns a picture of samples [height, width(, 1 to 4)]: 2 and 4 with alpha."""
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.shape[-1] in (2, 4):
        pixels = _over_black(pixels[..., :-1], pixels[..., -1:])
    if pixels.dtype == np.uint8:
        pixels = np.repeat(pixels, 3 // pixels.shape[-1], axis=-1)
    return Picture(pixels, declared)


def _over_black(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Returns pixels as they show over black; opaque is the depth that holds alpha."""
    depth = next(bits for bits in DEPTHS if not int(alpha.max()) >> bits)
    opaque = (1 << depth) - 1
    result = np.empty_like(pixels)
    for rows in row_strips(pixels.shape):
        share = alpha[rows] / np.float32(opaque)
        result[rows] = np.rint(pixels[rows] * share)
    return result


def _png(data: bytes) -> Picture:
    declared, orientation = None, 1
    for kind, content in _png_chunks(data):
        if kind == b"sBIT" and content:
            colours = content[:3] if len(content) >= 3 else content[:1]
            declared = _below_16(max(colours))
        if kind == b"eXIf":
            orientation = _exif_orientation(content)
    pixels, _ = flat(imagecodecs.png_decode(data), None)
    return Picture(turn(pixels, orientation), declared)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the kind and content of each chunk but the pixels."""
    position = len(_PNG)
    while position + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        if kind != b"IDAT":
            yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length


def _exif_orientation(content: bytes) -> int:
    try:
        exif = Image.Exif()
        exif.load(content)
        return int(exif.get(ORIENTATION, 1))
    except Exception:  # Whatever is wrong with it, the picture is as it is stored.
        return 1


def _below_16(bits: int) -> int | None:
    return bits if DEPTHS[0] <= bits < DEPTHS[-1] else None


def _jpeg2000(data: bytes) -> Picture | None:
    # After the marker: length, capabilities, eight 4-byte sizes, number of components.
    start = data.find(_SIZE_MARKER) + 4
    width, height, left, top = struct.unpack_from(">4I", data, start + 4)
    (components,) = struct.unpack_from(">H", data, start + 36)
    bits = (data[start + 38] & 0x7F) + 1
    if bits <= 8:
        return None
    check_size(width - left, height - top)
    if components > 4:
        raise Refused(f"JPEG 2000 of {components} components is not read. Save as PNG")
    pixels = from_numbers(np.asarray(imagecodecs.jpeg2k_decode(data)))
    return flat(pixels, _below_16(bits))


def _pixmap(data: bytes) -> Picture | None:
    """Returns the picture in a PPM of 16 bits.

    One of fewer bits says so in its header, and Pillow scales by it.
    """
    header = re.match(rb"P6(?:\s+|#[^\n]*\n)+(\d+)\s+(\d+)\s+65535\s", data)
    if header is None:
        return None
    width, height = int(header[1]), int(header[2])
    check_size(width, height)
    samples = np.frombuffer(data, ">u2", width * height * 3, header.end())
    return Picture(samples.reshape(height, width, 3).astype(np.uint16), None)


def _tiff(data: bytes) -> Picture | None:
    """Returns the picture in a TIFF that Pillow does not read, or not wholly."""
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            if np.max(page.bitspersample) <= 8 and np.max(page.sampleformat) == 1:
                return None
            return _tiff_page(page)
    except tifffile.TiffFileError:
        return None  # Pillow may know better, or says what is wrong.


def _tiff_page(page: Any) -> Picture:
    check_size(page.imagewidth, page.imagelength)
    samples, photometric = int(page.samplesperpixel), int(page.photometric)
    kind = f"TIFF of {page.bitspersample} bits a sample"
    if page.dtype is None or page.dtype.kind not in "iuf":
        raise Refused(f"{kind}, {page.dtype or page.sampleformat}, is not read")
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        name = getattr(page.photometric, "name", photometric)
        raise Refused(f"{kind} as {name} is not read. Save it as RGB or grey")
    if page.imagedepth > 1:
        raise Refused(f"{kind} of {page.imagedepth} layers is not read")
    bytes_each = page.dtype.itemsize * samples
    if bytes_each * page.imagewidth * page.imagelength > _MAX_SAMPLES:
        raise Refused(f"{kind}, {samples} for each pixel, is too large to be read")
    colours = 3 if photometric == _RGB else 1
    if samples < colours:
        raise Refused(f"damaged TIFF: RGB of {samples} samples a pixel")
    values = page.asarray(maxworkers=1)
    if values.ndim == 3 and page.planarconfig == 2:
        values = np.moveaxis(values, 0, -1)
    values = values.reshape(page.imagelength, page.imagewidth, samples)
    try:
        pixels = from_numbers(values[..., :colours])
        if samples > colours and _ALPHA == (*page.extrasamples, 0)[0]:
            alpha = from_numbers(values[..., colours : colours + 1])
            pixels = _over_black(pixels, alpha)
    except ValueError as error:
        raise Refused(f"{kind}: {error}") from None
    declared = _tiff_depth(page)
    if photometric == _WHITE_IS_ZERO:
        bits = declared or 8 * pixels.dtype.itemsize
        white = max((1 << bits) - 1, int(pixels.max()))
        pixels, declared = (white - pixels).astype(pixels.dtype), white.bit_length()
    orientation = page.tags.get(ORIENTATION)
    pixels = turn(pixels, orientation.value if orientation else 1)
    return flat(pixels, declared)


def _tiff_depth(page: Any) -> int | None:
    """Returns the bits that a TIFF's tags declare, if fewer than 16."""
    if page.dtype.kind == "f":
        return None
    depths = [int(np.max(page.bitspersample))]
    for code in (_MAX_VALUE, _MAX_SAMPLE):
        tag = page.tags.get(code)
        if tag is not None:
            depths.append(int(np.max(tag.value)).bit_length())
    return next(filter(None, map(_below_16, depths)), None)
