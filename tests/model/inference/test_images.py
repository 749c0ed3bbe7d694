import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from model.inference import images

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def save(path, pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "CMYK", "1"])
def test_every_mode_becomes_rgb_of_the_same_greys(tmp_path, mode):
    pixels = np.where(GREY > 100, 255, 0).astype(np.uint8) if mode == "1" else GREY
    path = save(tmp_path / "a.tif", pixels, mode)
    image = images.read_image(path)
    assert image.shape == (3, 4, 3) and image.dtype == np.uint8
    np.testing.assert_allclose(image, pixels[..., None].repeat(3, -1), atol=1)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp", "bmp"])
def test_formats(tmp_path, suffix):
    image = images.read_image(
        save(tmp_path / f"a.{suffix}", np.full((20, 30), 77, "u1"))
    )
    assert image.shape == (20, 30, 3)
    np.testing.assert_allclose(image, 77, atol=3)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_greys_are_scaled_by_the_bits_they_use(tmp_path, bits, suffix):
    pixels = np.array([[0, (1 << bits) - 1]], np.uint16)
    image = images.read_image(save(tmp_path / f"a.{suffix}", pixels))
    assert image[..., 0].tolist() == [[0, 255]]


def test_float_tiff(tmp_path):
    path = save(tmp_path / "a.tif", np.array([[0.0, 0.5, 1.0]], np.float32))
    assert images.read_image(path)[0, :, 0].tolist() == [0, 128, 255]
    save(path, np.array([[0.0, np.nan]], np.float32))
    with pytest.raises(ValueError, match="TIFF of 32 bits a sample: floats must lie"):
        images.read_image(path)


def test_transparent_pixels_are_black(tmp_path):
    pixels = np.full((2, 2, 4), 200, np.uint8)
    pixels[0, 0, 3] = 0
    pixels[1, 1, 3] = 255
    image = images.read_image(save(tmp_path / "a.png", pixels))
    assert image[0, 0].tolist() == [0, 0, 0] and image[1, 1].tolist() == [200] * 3


def test_a_photo_held_sideways_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # Rotate by 90 degrees clockwise to show.
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255  # Left becomes top.
    image = images.read_image(save(tmp_path / "a.jpg", pixels, exif=exif))
    assert image.shape == (40, 20, 3)
    assert image[5].mean() > 250 and image[35].mean() < 5


def test_unreadable_files_say_why(tmp_path):
    whole = save(tmp_path / "whole.png", GREY)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    data = save(whole, noise).read_bytes()
    for content, message in (
        (b"", "empty"),
        (data[: len(data) // 2], "truncated"),
        (b"hello", "not an image"),
    ):
        whole.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            images.read_image(whole)


def test_reading_leaves_the_warning_filters_of_other_threads_alone(
    tmp_path, monkeypatch
):
    path = save(tmp_path / "a.png", GREY)
    filters, seen = list(warnings.filters), []
    opened = Image.open

    def spy(*args, **options):
        seen.append(list(warnings.filters))
        return opened(*args, **options)

    monkeypatch.setattr(images.Image, "open", spy)
    images.read_image(path)
    assert seen == [filters]


def png_that_claims(width, height):
    """A PNG of a few bytes whose header claims a huge picture."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 8_000), (10_000, 9_000), (60_000, 60_000)])
def test_decompression_bombs_are_refused_before_unpacking(size):
    with pytest.raises(ValueError, match="Crop it or scale it down"):
        images.decode_image(png_that_claims(*size))
