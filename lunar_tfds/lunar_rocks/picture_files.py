"""PNG and JPEG files: checked, decoded, and written for class ids."""

import io
import struct
from typing import NamedTuple

import numpy as np
from PIL import Image
from zlib_ng import zlib_ng as zlib

from lunar_tfds.image_arrays import MAX_PIXELS, orientation_of, turn

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAYSCALE, RGB = 0, 2  # IHDR colour types.
# Bits per sample that every reader turns into 8-bit RGB alike, per colour type.
_BIT_DEPTHS = {0: (1, 2, 4, 8), 2: (8,), 3: (1, 2, 4, 8), 4: (8,), 6: (8,)}


class Header(NamedTuple):
    """Size of a PNG file in px, and IHDR's colour type."""

    width: int
    height: int
    color_type: int


def is_rgb(data: bytes) -> bool:
    """Return whether a verified PNG file holds 8-bit RGB pixels."""
    return data[25] == RGB


def verify_png(data: bytes) -> Header:
    """Check every chunk of a PNG file and return its Header.

    No pixel is decoded. A file that was cut short or changed anywhere between its
    signature and IEND fails here, at several GB/s.

    Raises:
        ValueError: the file is not a complete PNG that readers turn into 8-bit RGB.
    """
    if data[:8] != SIGNATURE:
        raise ValueError("not a PNG file (wrong signature)" if data else "empty file")
    view = memoryview(data)
    position, has_pixels = 8, False
    header: Header | None = None
    while True:
        if position + 12 > len(data):
            raise ValueError(f"truncated: ends at byte {len(data)} without IEND")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ValueError(
                f"truncated: chunk {_printable(name)} at byte {position} runs past "
                f"the end of the file"
            )
        (crc,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[position + 4 : end - 4]) != crc:
            raise ValueError(
                f"corrupt: wrong CRC in chunk {_printable(name)} at byte {position}"
            )
        if header is None:
            header = _header(name, data[position + 8 : end - 4])
        elif name == b"IDAT":
            has_pixels = True
        elif name == b"IEND":
            break
        position = end
    if not has_pixels:
        raise ValueError("corrupt: no IDAT chunk")
    return header


def _header(name: bytes, body: bytes) -> Header:
    if name != b"IHDR" or len(body) != 13:
        raise ValueError("corrupt: no IHDR chunk")
    width, height, depth, color_type, compression, filters, interlace = struct.unpack(
        ">IIBBBBB", body
    )
    if not width or not height or compression or filters or interlace > 1:
        raise ValueError("corrupt: impossible IHDR chunk")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width}x{height} is more than {MAX_PIXELS} pixels")
    if depth not in _BIT_DEPTHS.get(color_type, ()):
        raise ValueError(
            f"{depth} bits of colour type {color_type}; save it as 8-bit RGB"
        )
    return Header(width, height, color_type)


def _printable(name: bytes) -> str:
    return name.decode("ascii", "backslashreplace")


def decode_png(data: bytes) -> np.ndarray:
    """Return the pixels of a verified PNG file, uint8 [height, width, 3].

    Each channel is contiguous: numpy compares such bytes ten times as fast as every
    third byte.

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


def decode_jpeg(data: bytes) -> np.ndarray:
    """Return the upright pixels of a JPEG file, uint8 [height, width, 3].

    Raises:
        ValueError: it is not a JPEG file, too large, or damaged.
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
        # EXIF tells how the camera was held.
        return turn(np.asarray(image.convert("RGB")), orientation_of(image))
    except Image.UnidentifiedImageError as error:
        raise ValueError("not a JPEG file, though it is called one") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"corrupt JPEG file: {error}") from error


def encode_ids(ids: np.ndarray) -> bytes:
    """Return a one-channel 8-bit PNG file of class ids, uint8 [height, width]."""
    height, width = ids.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = 0  # PNG's filter "none": a row of a mask is a few runs already.
    rows[:, 1:] = ids
    header = struct.pack(">IIBBBBB", width, height, 8, GRAYSCALE, 0, 0, 0)
    # Run lengths only: a sixth of the time of level 6, and 1 to 8 KB a mask.
    packer = zlib.compressobj(strategy=zlib.Z_RLE)
    return _assemble(header, packer.compress(rows) + packer.flush())


def top_rows(data: bytes, rows: int) -> bytes:
    """Return a PNG file with the first `rows` rows of a verified 8-bit RGB file.

    Only the data of these rows are decompressed, so that looking at the sky of every
    render is cheap. An interlaced file is returned whole.

    Raises:
        ValueError: the pixel data are damaged.
    """
    width, _, *rest, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if interlace:
        return data
    wanted = rows * (3 * width + 1)
    unpacker, pixels, position = zlib.decompressobj(), b"", 8
    while len(pixels) < wanted:
        length, name = struct.unpack_from(">I4s", data, position)
        if name == b"IEND":
            raise ValueError("corrupt: too few pixel data")
        if name == b"IDAT":
            body = data[position + 8 : position + 8 + length]
            try:
                pixels += unpacker.decompress(body, wanted - len(pixels))
            except zlib.error as error:  # type: ignore[misc]  # Wrong stub.
                raise ValueError(f"corrupt pixel data: {error}") from error
        position += 12 + length
    header = struct.pack(">IIBBBBB", width, rows, *rest, interlace)
    return _assemble(header, zlib.compress(pixels, 0))


def _assemble(header: bytes, pixels: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", _crc(name, body))
        for name, body in chunks
    )


def _crc(name: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(name))
