import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from model.inference import images
from model.inference.images import decode_image

COLOURS = np.array([[[0, 0, 0], [4095, 2000, 100]]], np.uint16)
AS_12_BITS = [[0, 0, 0], [255, 125, 6]]


def png(pixels, *, significant=None, orientation=None):
    data = imagecodecs.png_encode(pixels)
    for kind, content in (
        (b"sBIT", significant and bytes([significant]) * pixels.shape[-1]),
        (b"eXIf", orientation and exif(orientation)),
    ):
        if content:
            check = struct.pack(">I", zlib.crc32(kind + content))
            chunk = struct.pack(">I", len(content)) + kind + content + check
            data = data[:33] + chunk + data[33:]  # After the header.
    return data


def exif(orientation):
    value = Image.Exif()
    value[0x0112] = orientation
    return value.tobytes()[6:]


def tiff(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def ppm(pixels):
    height, width, _ = pixels.shape
    header = f"P6\n# made by hand\n{width} {height}\n65535\n"
    return header.encode() + pixels.astype(">u2").tobytes()


WRITERS = {
    "png": png,
    "tiff": lambda pixels: tiff(pixels, photometric="rgb"),
    "tiff_lzw": lambda p: tiff(p, photometric="rgb", compression="lzw"),
    "tiff_tiles": lambda p: tiff(p, photometric="rgb", tile=(16, 16)),
    "tiff_planes": lambda p: tiff(
        np.moveaxis(p, -1, 0), photometric="rgb", planarconfig="separate"
    ),
    "big_endian_bigtiff": lambda p: tiff(
        p, photometric="rgb", bigtiff=True, byteorder=">"
    ),
    "jp2": lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0),
    "ppm": ppm,
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_colours_are_scaled_by_the_bits_they_use(kind, bits):
    white = (1 << bits) - 1
    pixels = np.zeros((17, 20, 3), np.uint16)
    pixels[:, 10:] = white, white // 2, 0
    image = decode_image(WRITERS[kind](pixels))
    assert image.shape == pixels.shape and image.dtype == np.uint8
    assert image[3, 0].tolist() == [0] * 3
    np.testing.assert_allclose(image[3, 15], [255, 127, 0], atol=1)


@pytest.mark.parametrize("kind", WRITERS)
def test_16_bit_colours_of_a_given_depth(kind):
    data = WRITERS[kind](COLOURS)
    assert decode_image(data, 12)[0].tolist() == AS_12_BITS
    with pytest.raises(ValueError, match="4095 does not fit --bit_depth=10"):
        decode_image(data, 10)


def test_png_says_how_many_bits_are_significant():
    dim = COLOURS // 8  # 511: 10 bits would hold it.
    assert decode_image(png(dim, significant=12)).max() == round(511 / 4095 * 255)
    # Scaled up to all 16 bits, as the format's text asks for.
    full = COLOURS * 16
    assert decode_image(png(full, significant=12))[0].tolist() == AS_12_BITS
    assert decode_image(png(dim, significant=12), 9).max() == 255


def test_tiff_says_how_many_bits_are_used():
    dim = COLOURS // 8
    tag = [(281, "H", 1, 4095, True)]
    data = tiff(dim, photometric="rgb", extratags=tag)
    assert decode_image(data).max() == round(511 / 4095 * 255)
    # Two values in three bytes: 0x000 and 0x1FF.
    data = tiff(np.array([[0, 0]], np.uint16))[:-4] + b"\x00\x01\xff\x00"
    sizes = struct.pack("<HHII", 258, 3, 1, 16), struct.pack("<HHII", 258, 3, 1, 12)
    assert sizes[0] in data
    assert decode_image(data.replace(*sizes))[0].max() == round(511 / 4095 * 255)


def test_grey_and_colour_follow_one_rule():
    for largest in (200, 256, 1000, 5000, 60_000):
        grey = np.array([[0, largest]], np.uint16)
        colour = grey[..., np.newaxis].repeat(3, -1)
        expected = decode_image(png(grey))
        for data in (png(colour), tiff(grey), tiff(colour, photometric="rgb")):
            np.testing.assert_array_equal(decode_image(data), expected)


def test_transparent_pixels_of_16_bits_are_black():
    pixels = np.full((1, 3, 4), 4095, np.uint16)
    pixels[0, :, 3] = 0, 2048, 4095
    for data in (
        png(pixels),
        tiff(pixels, photometric="rgb", extrasamples=["unassalpha"]),
    ):
        assert decode_image(data)[0, :, 0].tolist() == [0, 128, 255]
    grey = np.ascontiguousarray(pixels[..., [0, 3]])
    assert decode_image(png(grey))[0, :, 2].tolist() == [0, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_pillows(orientation):
    pixels = np.arange(2 * 3 * 3, dtype=np.uint16).reshape(2, 3, 3) * 257
    pixels[-1, -1] = 65535
    upright = Image.open(io.BytesIO(png((pixels >> 8).astype("u1"))))
    method = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)
    upright = upright if method is None else upright.transpose(method)
    tag = [(274, "H", 1, orientation, True)]
    for data in (
        png(pixels, orientation=orientation),
        png((pixels >> 8).astype("u1"), orientation=orientation),
        tiff(pixels, photometric="rgb", extratags=tag),
        tiff((pixels >> 8).astype("u1"), photometric="rgb", extratags=tag),
    ):
        np.testing.assert_array_equal(decode_image(data), np.asarray(upright))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floats(dtype):
    for photometric, shape in (("minisblack", (1, 3)), ("rgb", (1, 3, 3))):
        values = np.array([0, 0.5, 1], dtype).reshape(1, 3)
        if len(shape) == 3:
            values = values[..., np.newaxis].repeat(3, -1)
        image = decode_image(tiff(values, photometric=photometric))
        assert image[0, :, 1].tolist() == [0, 128, 255]
        image = decode_image(tiff(values * 200, photometric=photometric))
        assert image[0, :, 1].tolist() == [0, 100, 200]


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4", "i8", "u8"])
def test_whole_numbers_of_other_sizes(dtype):
    image = decode_image(tiff(np.array([[0, 100]], dtype)))
    assert image[0, :, 0].tolist() == [0, 100]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tiff(np.ones((2, 2), "c8")), "TIFF of 64 bits a sample, complex64, is not"),
        (tiff(np.array([[-1, 5]], "i2")), "int16 samples must lie in 0..65535"),
        (tiff(np.array([[0, 1 << 20]], "u4")), "uint32 samples must lie"),
        (tiff(np.array([[0, 4000]], "f4")), "floats must lie"),
        (tiff(np.ones((2, 2, 4), "u2"), photometric="separated"), "as SEPARATED"),
        (tiff(np.ones((2, 2, 3), "u2"), photometric="cielab"), "as CIELAB"),
        (b"\x01\xda\x01\x02" + bytes(600), "SGI of 16 bits"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\1\0\0\0\1\0\x10\0\3", "a PSD file"),
    ],
)
def test_what_is_not_read_is_refused_by_name(data, message):
    with pytest.raises(ValueError, match=message):
        decode_image(data)


@pytest.mark.parametrize("kind", WRITERS)
def test_truncated_files_of_16_bits(kind):
    noise = np.random.default_rng(0).integers(0, 65535, (64, 64, 3), np.uint16)
    data = WRITERS[kind](noise)
    with pytest.raises(ValueError, match="damaged|truncated"):
        decode_image(data[: len(data) // 2])


def test_a_white_that_is_zero():
    pixels = np.array([[0, 4095]], np.uint16)
    tag = [(281, "H", 1, 4095, True)]
    image = decode_image(tiff(pixels, photometric="miniswhite", extratags=tag))
    assert image[0, :, 0].tolist() == [255, 0]


def test_heic_needs_its_library(monkeypatch):
    data = b"\0\0\0\x18ftypheic" + bytes(40)
    formats = tuple(f for f in images.pillow_formats() if f != "HEIF")
    monkeypatch.setattr(images, "pillow_formats", lambda: formats)
    with pytest.raises(ValueError, match=r"pip install -e '.\[heif\]'"):
        decode_image(data)


def test_heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    picture = np.full((40, 60, 3), 90, np.uint8)
    pillow_heif.from_pillow(Image.fromarray(picture)).save(file, quality=95)
    np.testing.assert_allclose(decode_image(file.getvalue()), picture, atol=3)


def test_exif_that_cannot_be_written_again_turns_the_picture_all_the_same():
    value = Image.Exif()
    value[0x0112], value[0x011A] = 6, 1.5  # Orientation, XResolution.
    file = io.BytesIO()
    Image.new("RGB", (40, 20)).save(file, "JPEG", exif=value)
    data = file.getvalue()
    order = "<" if b"II*" in data else ">"
    for good, bad in (
        (struct.pack(f"{order}II", 3, 2), struct.pack(f"{order}iI", -1, 0)),
        (struct.pack(f"{order}HH", 0x011A, 5), struct.pack(f"{order}HH", 0x011A, 10)),
    ):
        assert data.count(good) == 1
        data = data.replace(good, bad)
    with pytest.raises(struct.error):
        ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert decode_image(data).shape == (40, 20, 3)
