"""Damages photos of every kind in many ways and reads each.

    python -m tests.support.mutate_images --mutations=100000

Each must give a picture or a ValueError in one line, whatever was damaged; anything
else is printed with the number that repeats it, and ends the script with status 1.
"""

import collections
import dataclasses
import functools
import io
import random
import sys
import warnings

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from lunar_tfds import command_line
from lunar_tfds.settings import at_least, check, setting
from model.inference.images import decode_image, pillow_formats

# Pillow's own formats that it writes, and what is made by its options.
SUFFIXES = (
    "png jpg tif gif webp avif bmp jp2 ppm pgm pcx tga qoi sgi ico icns dds im msp "
    "xbm dib pbm pfm mpo"
).split()
TIFF_KINDS = ("u1", "u2", "i2", "u4", "f2", "f4", "f8", "c8")


@functools.cache
def originals():
    """Returns {name: bytes} of small whole photos of every kind."""
    pixels = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    deep = pixels.astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x010E] = 6, 1.5, "rocks"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    files = {f"{s}": _save(pixels, s, exif) for s in SUFFIXES}
    for compression in ("lzw", "deflate", "jpeg", "packbits", "zstd"):
        source = pixels if compression == "jpeg" else deep
        files[f"tiff {compression}"] = _tiff(source, compression=compression)
    for kind in TIFF_KINDS:
        values = (pixels // 2).astype(kind)
        files[f"tiff {kind}"] = _tiff(values)
        files[f"tiff {kind} tiles"] = _tiff(values, tile=(16, 16))
    for channels in (1, 2, 3, 4):
        samples = np.ascontiguousarray(np.resize(deep, (12, 16, channels)).squeeze())
        files[f"png 16 {channels}"] = imagecodecs.png_encode(samples)
    files["jp2 16"] = imagecodecs.jpeg2k_encode(deep, level=0)
    files["ppm 16"] = b"P6\n16 12\n65535\n" + deep.astype(">u2").tobytes()
    if "HEIF" in pillow_formats():
        files["heic"] = _save(pixels, "heic", exif)
    return files


def _save(pixels, suffix, exif):
    image = Image.fromarray(pixels)
    modes = {"pgm": "L", "pbm": "1", "xbm": "1", "msp": "1", "pfm": "F"}
    image = image.convert(modes.get(suffix, "RGB"))
    file = io.BytesIO()
    format_ = {"heic": "HEIF", "mpo": "MPO"}.get(suffix)
    format_ = format_ or Image.registered_extensions()[f".{suffix}"]
    image.save(file, format_, exif=exif)
    return file.getvalue()


def _tiff(pixels, **options):
    file = io.BytesIO()
    photometric = "minisblack" if pixels.dtype.kind == "c" else "rgb"
    tifffile.imwrite(file, pixels, photometric=photometric, **options)
    return file.getvalue()


def mutate(data, rng):
    """Returns a file with bytes changed, blanked, cut, moved or added.

    Half of all changes fall into the first 200 bytes, where headers are.
    """
    data = bytearray(data)

    def place():
        return rng.randrange(min(len(data), 200) if rng.random() < 0.5 else len(data))

    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at, kind = place(), rng.randrange(7)
        if kind <= 2:
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 3:
            size = rng.choice((2, 4, 8))
            value = rng.choice((0, 1, -1, 1 << 15, 1 << 31, rng.getrandbits(32)))
            data[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
        elif kind == 4 and len(data) > 20:
            del data[at : at + rng.choice((1, 4, len(data)))]
        elif kind == 5:
            data[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
        else:
            other = place()
            data[at : at + 16] = data[other : other + 16]
        if not data:
            break
    return bytes(data)


def try_mutation(number):
    """Returns 'picture', 'clear error', or what went wrong."""
    rng = random.Random(number)
    name = rng.choice(sorted(originals()))
    data = mutate(originals()[name], rng)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = decode_image(data)
    except ValueError as error:
        text = str(error)
        return "clear error" if text and "\n" not in text else f"{name}: {text!r}"
    except Exception as error:
        return f"{name}: {type(error).__name__}: {error}"
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3:
        return "picture"
    return f"{name}: {image.dtype} {image.shape}"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the script."""

    mutations: int = setting(100_000, "How many files to damage.", at_least(1))
    first: int = setting(0, "Number of the first.", at_least(0))

    def __post_init__(self):
        check(self)


def main(config):
    """Damages and reads; returns 1 where anything but a clear error was raised."""
    counts, wrong = collections.Counter(), 0
    for number in range(config.first, config.first + config.mutations):
        outcome = try_mutation(number)
        if outcome in ("picture", "clear error"):
            counts[outcome] += 1
        else:
            wrong += 1
            print(f"--first={number} --mutations=1: {outcome}", flush=True)
    print(
        ", ".join(f"{count} {name}" for name, count in counts.items()), wrong, "wrong"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(command_line.run(Settings, main))
