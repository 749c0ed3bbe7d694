"""JPEG pictures of a source come out upright, whatever else their EXIF says."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from lunar_tfds.lunar_rocks import picture_files


def jpeg_file(exif=b""):
    pixels = np.linspace(0, 255, 24 * 16 * 3).astype(np.uint8).reshape(16, 24, 3)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_pillows(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg_file(exif.tobytes())
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(picture_files.decode_jpeg(data), np.asarray(expected))


def test_an_odd_tag_beside_the_orientation_does_no_harm():
    # Orientation 6, and an XResolution of -1/0 as an unsigned rational.
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    entries += struct.pack("<HHII", 0x011A, 10, 1, 38)
    head = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2)
    exif = head + entries + struct.pack("<Iii", 0, -1, 0)
    data = jpeg_file(exif)
    with pytest.raises(struct.error):
        ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert picture_files.decode_jpeg(data).shape == (24, 16, 3)
