"""Finds and reads people's images: any size, any mode, folders, globs and zips."""

import dataclasses
import glob
import io
import pathlib
import warnings
import zipfile
import zlib

import numpy as np
from PIL import Image, ImageOps

# What a folder or a zip is searched for; a file named by itself may be called anything.
SUFFIXES = frozenset(
    ".png .jpg .jpeg .tif .tiff .bmp .gif .webp .ppm .pgm .jp2".split()
)
# Pixels. Probabilities of an image this large take 1 GB (4 classes, float32).
MAX_PIXELS = 64_000_000
# Bytes of one compressed file; a zip member beyond this is not unpacked.
MAX_BYTES = 1 << 30
# Bits that a 16-bit file may really use; many cameras fill 10 or 12 of them.
_BIT_DEPTHS = (8, 10, 12, 14, 16)
_SIXTEEN_BIT = frozenset(("I", "I;16", "I;16B", "I;16L", "I;16N"))


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """One image that was found.

    Attributes:
        name: what its results are called, without a suffix; unique in its list.
        path: the file, or the zip that holds it.
        member: the name inside the zip; None for a plain file.
    """

    name: str
    path: pathlib.Path
    member: str | None = None

    def __str__(self):
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    def read(self):
        """Returns the image, uint8 [height, width, 3] RGB; errors as `decode_image`."""
        if self.member is None:
            return read_image(self.path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                _check_size(archive.getinfo(self.member).file_size)
                data = archive.read(self.member)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            RuntimeError,  # Encrypted, or of a compression that zipfile lacks.
        ) as error:
            raise ValueError(f"the zip's entry is damaged: {error}") from error
        return decode_image(data)


def find_images(pattern, *, exclude=None):
    """Returns the images that a file, folder, zip or glob names, sorted by path.

    Folders and zips are searched to any depth for files with an image's suffix. A
    label picture of the dataset (`g_PCAM5.png` beside `PCAM5.png`) is left out, and so
    are hidden files.

    Args:
        pattern: str or path.
        exclude: function of a path; a file of a folder or glob for which it is true is
            left out, such as a result of an earlier run. A file named by itself stays.

    Returns:
        A non-empty list of `ImageFile`.

    Raises:
        ValueError: nothing matched, or the zip is damaged.
    """
    path = pathlib.Path(pattern)
    if path.is_dir():
        found = _in_folder(path)
    elif path.is_file():
        found = _in_zip(path) if zipfile.is_zipfile(path) else [(path.name, path, None)]
        if path.suffix.lower() == ".zip" and not zipfile.is_zipfile(path):
            raise ValueError(f"{path} is not a whole zip file. Download it again")
    else:
        matches = sorted(glob.glob(str(pattern), recursive=True))
        found = [
            (m, pathlib.Path(m), None) for m in matches if pathlib.Path(m).is_file()
        ]
        found = _without_labels(found)
    if exclude is not None and not path.is_file():
        found = [item for item in found if not exclude(item[1])]
    if not found:
        raise ValueError(
            f"no images matched {pattern}. Pass an image, a folder or zip that holds "
            f"{' '.join(sorted(SUFFIXES))} files, or a quoted glob ('photos/*.jpg')"
        )
    return _named(found)


def read_image(path):
    """Returns the image file `path` as uint8 [height, width, 3] RGB.

    Raises:
        ValueError: not a readable image, empty, or larger than `MAX_PIXELS`.
        OSError: the file cannot be opened.
    """
    path = pathlib.Path(path)
    _check_size(path.stat().st_size)
    return decode_image(path.read_bytes())


def decode_image(data):
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
        with warnings.catch_warnings():
            # Pillow's own limit warns from 89 million pixels; the one below is ours.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"{width}x{height} is {width * height / 1e6:.0f} million pixels and "
                f"the limit is {MAX_PIXELS / 1e6:.0f}. Crop it or scale it down first"
            )
        return _to_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:
        raise ValueError(f"{error} Crop it or scale it down first") from error
    except Image.UnidentifiedImageError:
        raise ValueError("not an image, or of a format that is not read") from None
    except (OSError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise ValueError(f"damaged or truncated image: {error}") from error


def _to_rgb(image):
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


def _from_integers(pixels):
    """Returns integer greys of up to 16 bits as uint8."""
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high >= 1 << 16:
        raise ValueError(f"greys must lie in 0..65535: got {low} to {high}")
    bits = next(depth for depth in _BIT_DEPTHS if high < 1 << depth)
    return np.rint(pixels * (255.0 / ((1 << bits) - 1))).astype(np.uint8)


def _from_floats(pixels):
    """Returns float greys in [0, 1] or [0, 255] as uint8."""
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 255):  # Also catches nan.
        raise ValueError(
            f"float greys must lie in [0, 1] or [0, 255]: got {low:g} to {high:g}"
        )
    return np.rint(pixels * (255.0 if high <= 1 else 1.0)).astype(np.uint8)


def _grey_to_rgb(pixels):
    return np.repeat(pixels[..., np.newaxis], 3, axis=-1)


def _check_size(num_bytes):
    if num_bytes > MAX_BYTES:
        raise ValueError(
            f"{num_bytes / 1e6:.0f} MB, and the limit is {MAX_BYTES / 1e6:.0f} MB. "
            "Crop it or scale it down first"
        )


def _in_folder(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [(path.relative_to(folder).as_posix(), path, None) for path in files]
    return _without_labels([item for item in found if _looks_like_image(item[0])])


def _in_zip(path):
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(set(archive.namelist()))
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path} is a damaged zip ({error}). Download it again"
        ) from None
    return _without_labels([(m, path, m) for m in members if _looks_like_image(m)])


def _looks_like_image(name):
    parts = pathlib.PurePosixPath(name).parts
    hidden = any(part.strip(".") != "" and part[0] == "." for part in parts)
    hidden = hidden or "__MACOSX" in parts
    return not hidden and pathlib.PurePosixPath(name).suffix.lower() in SUFFIXES


def _without_labels(found):
    """Leaves out `g_NAME` where `NAME` is there too: it is that photo's label mask."""
    names = {name for name, _, _ in found}

    def is_label(name):
        folder, slash, file = name.rpartition("/")
        return file.startswith("g_") and f"{folder}{slash}{file[2:]}" in names

    return [item for item in found if not is_label(item[0])]


def _named(found):
    """Returns `ImageFile`s called by their stems, or by whole paths if those clash."""
    stems = [pathlib.PurePosixPath(name).stem for name, _, _ in found]
    taken, files = set(), []
    for (name, path, member), stem in zip(found, stems, strict=True):
        unique = stem if stems.count(stem) == 1 else _flat(name)
        while unique in taken:
            unique += "_"
        taken.add(unique)
        files.append(ImageFile(unique, path, member))
    return files


def _flat(name):
    """Returns a path as one word: `a/b.png` becomes `a_b_png`."""
    parts = [part for part in pathlib.PurePosixPath(name).parts if part.strip("/.")]
    return "_".join(parts).replace(".", "_")
