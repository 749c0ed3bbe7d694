import base64
import io

import numpy as np
import pytest
from PIL import Image

from lunar_tfds import palette
from model.inference import pictures

IMAGE = np.full((40, 60, 3), 100, np.uint8)


def test_an_overlay_tints_classes_and_leaves_the_ground():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 10:30] = palette.LARGE_ROCK
    picture = pictures.overlay(IMAGE, mask)
    assert picture[0, 0].tolist() == [100, 100, 100]
    assert picture[15, 20].tolist() == [60, 60, 162]  # 0.6 image + 0.4 blue.
    assert picture[10, 20].tolist() == [10, 10, 240]  # The border is stronger.


@pytest.mark.parametrize("width", [60, 720, 3000])
def test_a_legend_names_each_class_below_the_picture(width):
    image = np.full((40, width, 3), 100, np.uint8)
    mask = np.zeros((40, width), np.uint8)
    picture = pictures.with_legend(image, mask)
    np.testing.assert_array_equal(picture[:40, :width], image)
    strip = picture[40:]
    for color in palette.CLASS_COLORS:
        assert (strip == color).all(-1).sum() > 50
    assert (strip > 200).all(-1).any()  # The text.


def test_a_mask_in_html_keeps_its_exact_colours():
    mask = np.random.default_rng(0).integers(0, 4, (90, 120))
    pixels = palette.colorize(mask)
    uri = pictures.data_uri(pixels, width=480)
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(shown, pixels)
    narrow = pictures.data_uri(pixels, width=30)
    assert len(narrow) < len(uri)
