"""Reads people's images: any size, any mode, any format that Pillow knows."""

import functools
import io
import pathlib

import numpy as np
from PIL import Image

from lunar_tfds.image_arrays import orientation_of, turn
from model.inference import bit_depth as depths
from model.inference import deep_images
from model.inference.bit_depth import Picture

# Bytes of one compressed file; a zip member beyond this is not unpacked.
MAX_BYTES = 1 << 30
# Pillow hands these to other programs.
POSTSCRIPT = frozenset(("EPS",))
HEIF_SUFFIXES = frozenset((".heic", ".heif", ".hif"))
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_SIXTEEN_BIT = frozenset(("I", "I;16", "I;16B", "I;16L", "I;16N"))


def read_image(path: str | pathlib.Path, bit_depth: int | None = None) -> np.ndarray:
    """Returns the image file `path` as uint8 [height, width, 3] RGB.

    Args:
        path: the file.
        bit_depth: see `decode_image`.

    Raises:
        ValueError: not a readable image, empty, or larger than `MAX_PIXELS`.
        OSError: the file cannot be opened.
    """
    return decode_image(read_bytes(path), bit_depth)


def image_of_pillow(image: Image.Image) -> np.ndarray:
    """Returns a Pillow image of any mode as uint8 [height, width, 3] RGB, upright."""
    picture = _picture_of(image)
    upright = Picture(turn(picture.pixels, orientation_of(image)), picture.declared)
    return depths.to_8_bits(upright, depths.depth_of(upright, None))


def decode_image(data: bytes, bit_depth: int | None = None) -> np.ndarray:
    """Returns encoded image bytes as uint8 [height, width, 3] RGB, upright.

    Args:
        data: see `decode_picture`.
        bit_depth: of files that store 16; None takes what the file declares, or else
            the smallest of 8, 10, 12, 14, 16 bits that holds its largest value.

    Raises:
        ValueError: see `decode_picture`; or a value that `bit_depth` cannot hold.
    """
    picture = decode_picture(data)
    return depths.to_8_bits(picture, depths.depth_of(picture, bit_depth))


def decode_picture(data: bytes) -> Picture:
    """Returns encoded image bytes as stored, but RGB or grey, and upright.

    A camera's rotation (EXIF) is applied; transparency shows black, the colour of the
    lunar sky; floats count as [0, 1], or [0, 255] beyond 1. Of several pages the first
    is read.

    Args:
        data: bytes of a PNG, JPEG, TIFF or any other format that Pillow reads, but
            PostScript, which other programs would run.

    Raises:
        ValueError: not an image, truncated, empty, or larger than `MAX_PIXELS`;
            whatever a library raises of a damaged file.
    """
    if not data:
        raise ValueError("the file is empty (0 bytes)")
    try:
        return deep_images.decode(data) or _decode_with_pillow(data)
    except deep_images.Refused as error:
        raise ValueError(str(error)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{error} Crop it or scale it down first") from error
    except Image.UnidentifiedImageError:
        raise ValueError(_kind_not_read(data)) from None
    except MemoryError:
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"damaged or truncated image: {said}") from error


def _decode_with_pillow(data: bytes) -> Picture:
    # From 89 million pixels Pillow warns, too. The warning stays: to hush it would
    # change the filters of all threads.
    image = Image.open(io.BytesIO(data), formats=pillow_formats())
    deep_images.check_size(*image.size)
    image.load()
    picture = _picture_of(image)
    upright = turn(picture.pixels, orientation_of(image))
    return Picture(upright, picture.declared)


@functools.cache
def pillow_formats() -> tuple[str, ...]:
    """Returns the formats that are read, in Pillow's names; HEIF where installed."""
    try:
        import pillow_heif
    except ModuleNotFoundError:
        pass
    else:
        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in Image.OPEN if name not in POSTSCRIPT)


def _picture_of(image: Image.Image) -> Picture:
    """Returns the picture of a Pillow image of any mode."""
    if image.mode in _SIXTEEN_BIT or image.mode == "F":
        # Pillow scales a PGM's values by the largest that the file declares.
        declared = 16 if image.format == "PPM" else None
        return deep_images.flat(depths.from_numbers(np.asarray(image)), declared)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return Picture(np.asarray(rgb), None)


def _kind_not_read(data: bytes) -> str:
    """Returns what to say of a file that Pillow does not take."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        if "HEIF" not in pillow_formats():
            return "HEIC needs pillow-heif: pip install -e '.[heif]'"
        return "damaged or truncated image: HEIC"
    if data.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return "PostScript is not read: other programs would run. Save it as PNG"
    for name, (_, accepts) in Image.OPEN.items():
        if accepts and len(data) >= 16 and accepts(data[:16]) is True:
            return f"a {name} file that is damaged or of a kind not read. Save as PNG"
    return "not an image, or of a format that is not read"


def read_bytes(path: str | pathlib.Path) -> bytes:
    """Returns a file's bytes; ValueError where they are more than `MAX_BYTES`."""
    path = pathlib.Path(path)
    check_file_size(path.stat().st_size)
    return path.read_bytes()


def check_file_size(num_bytes: int) -> None:
    """Raises ValueError for a file of more than `MAX_BYTES`."""
    if num_bytes > MAX_BYTES:
        raise ValueError(
            f"{num_bytes / 1e6:.0f} MB, and the limit is {MAX_BYTES / 1e6:.0f} MB. "
            "Crop it or scale it down first"
        )
