"""Reads one frame: its files checked, its masks turned into class ids."""

import dataclasses
import io

import numpy as np
from PIL import Image

from lunar_tfds import palette
from lunar_tfds.lunar_rocks import layout, png

# Re-encoded copies have about 1 % of off-palette pixels, at class edges.
MAX_OFF_PALETTE = 0.02
# A rendered sky is black: 99.2 % of its pixels are below 8 in frame 0001.
DARK = 8


@dataclasses.dataclass
class Reading:
    """What was found in one frame.

    Attributes:
        frame_id: the frame.
        problem: why the frame cannot be used, or None.
        ground_mask: bytes, PNG of class ids.
        clean_mask: bytes, PNG of class ids.
        pixel_counts: dict of mask name to int list [NUM_CLASSES].
    """

    frame_id: str
    problem: str | None = None
    ground_mask: bytes = b""
    clean_mask: bytes = b""
    pixel_counts: dict = dataclasses.field(default_factory=dict)


def read_frame(source, frame, rock_threshold):
    """Returns the Reading of a frame; what is wrong with its files is in `problem`.

    Args:
        source: where the files are.
        frame: layout.Frame.
        rock_threshold: intensity from which a rock counts in a `ground` file.
    """
    reading = Reading(frame.frame_id)
    name = frame.image
    try:
        _verified(source.read(name), frame)
        name = frame.ground
        kind = "clean" if frame.is_photo else "ground"
        ground = _mask_ids(source.read(name), frame, kind, rock_threshold)
        reading.ground_mask = reading.clean_mask = png.encode_ids(ground)
        clean = ground
        if not frame.is_photo:
            name = frame.clean
            clean = _mask_ids(source.read(name), frame, "clean", rock_threshold)
            reading.clean_mask = png.encode_ids(clean)
    except (ValueError, OSError) as error:
        reading.problem = f"{name}: {error}"
        return reading
    reading.pixel_counts = {
        "ground_mask": _counts(ground),
        "clean_mask": _counts(clean),
    }
    return reading


def _counts(ids):
    return np.bincount(ids.ravel(), minlength=palette.NUM_CLASSES).tolist()


def _verified(data, frame):
    width, height, color_type = png.verify(data)
    expected = (layout.FRAME_WIDTH, layout.FRAME_HEIGHT)
    if not frame.is_photo and (width, height) != expected:
        raise ValueError(
            f"wrong size: {width}x{height}, a frame is {expected[0]}x{expected[1]}"
        )
    return color_type


def _mask_ids(data, frame, kind, rock_threshold):
    rgb = decode_rgb(data, _verified(data, frame))
    off = palette.off_palette(rgb, kind)
    if off.mean() > MAX_OFF_PALETTE:
        raise ValueError(f"off the palette: {np.count_nonzero(off)} pixels")
    return palette.class_ids(rgb, rock_threshold)


def decode_rgb(data, color_type):
    """Returns the pixels of a verified PNG file, uint8 [height, width, 3]."""
    image = Image.open(io.BytesIO(data))
    if color_type != png.RGB:
        image = image.convert("RGB")
    return np.asarray(image)


def read_image(source, frame):
    """Returns the PNG bytes of the render or photo, as 8-bit RGB.

    RGB files, the rule, pass untouched; others are encoded anew.
    """
    data = source.read(frame.image)
    color_type = _verified(data, frame)
    if color_type == png.RGB:
        return data
    buffer = io.BytesIO()
    Image.fromarray(decode_rgb(data, color_type)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
