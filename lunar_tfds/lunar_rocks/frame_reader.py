"""Reads one frame: checks its files, turns its masks into class ids."""

import dataclasses
import io

import numpy as np
from PIL import Image

from lunar_tfds import palette
from lunar_tfds.lunar_rocks import color_runs, frame_files, label_rules, png

# Share of a label image that may be off the palette. Copies encoded anew have about
# 1 % there, at class edges; swapped or misread colours have far more.
MAX_OFF_PALETTE = 0.02


class OffPaletteError(ValueError):
    """A label image whose colours are not the palette's: it stops every build."""


@dataclasses.dataclass
class Reading:
    """What a frame holds.

    Attributes:
        frame: the frame_files.Frame.
        problem: why the frame cannot be used, or None. Without it:
        image: bytes, 8-bit RGB PNG.
        ground_mask: bytes, PNG of class ids.
        clean_mask: bytes, PNG of class ids.
        statistics: label_rules.Statistics.
    """

    frame: frame_files.Frame
    problem: str | None = None
    image: bytes = b""
    ground_mask: bytes = b""
    clean_mask: bytes = b""
    statistics: label_rules.Statistics | None = None


def find_problem(source, frame):
    """Returns what is wrong with the files of a frame, or None; decodes no pixel."""
    for name in dict.fromkeys((frame.image, frame.ground, frame.clean)):
        try:
            _verified(source.read(name), frame)
        except (ValueError, OSError) as error:
            return f"{name}: {error}"
    return None


def read_frame(source, frame, boxes, rock_threshold):
    """Returns the Reading of a frame.

    Args:
        source: where the files are.
        frame: frame_files.Frame.
        boxes: list of (top, left, bottom, right), px, of its large rocks.
        rock_threshold: intensity from which a rock counts in a `ground` file.

    Raises:
        OffPaletteError: a mask has other colours than a mask of its kind.
    """
    name = frame.image
    try:
        image = source.read(name)
        color_type = _verified(image, frame)
        name = frame.ground
        ground = _read_mask(source, frame, name)
        name = frame.clean
        clean = ground if frame.is_photo else _read_mask(source, frame, name)
        name = frame.image
        if color_type != png.RGB:
            image = _as_rgb(image)
        found = color_runs.find(ground, clean)
        if not frame.is_photo:
            _check_colors(frame.ground, "ground", found.ground, found.lengths)
        _check_colors(frame.clean, "clean", found.clean, found.lengths)
        labels = found.labels(rock_threshold)
        ids = labels.ground
        has_sky = (ids[: label_rules.TOP_ROWS] == palette.SKY).any()
        top = _top_rows(image) if has_sky and not frame.is_photo else None
    except OffPaletteError:
        raise
    except (ValueError, OSError, SyntaxError) as error:
        return Reading(frame, problem=f"{name}: {error}")
    ground_mask = clean_mask = png.encode_ids(ids)
    if not frame.is_photo:
        clean_mask = png.encode_ids(labels.clean)
    return Reading(
        frame,
        image=image,
        ground_mask=ground_mask,
        clean_mask=clean_mask,
        statistics=label_rules.gather(frame, top, found, labels, boxes),
    )


def _verified(data, frame):
    width, height, color_type = png.verify(data)
    if not frame.is_photo and (width, height) != frame_files.FRAME_SIZE:
        raise ValueError(
            f"wrong size: {width}x{height}, a frame is "
            f"{frame_files.FRAME_WIDTH}x{frame_files.FRAME_HEIGHT}"
        )
    return color_type


def _read_mask(source, frame, name):
    data = source.read(name)
    _verified(data, frame)
    return decode(data)


def _check_colors(name, kind, colors, counts):
    """Raises OffPaletteError if too many pixels have colours off the palette.

    Args:
        name: of the file.
        kind: 'ground' or 'clean'.
        colors: uint8 [n, 3], RGB.
        counts: int [n], pixels.
    """
    off = palette.off_palette(colors, kind)
    count, total = counts[off].sum(), counts.sum()
    if count > MAX_OFF_PALETTE * total:
        found, index = np.unique(colors[off], axis=0, return_inverse=True)
        pixels = np.bincount(index.ravel(), counts[off]).astype(int)
        worst = pixels.argmax()
        raise OffPaletteError(
            f"{name}: {count} of {total} pixels ({count / total:.1%}) have "
            f"colours that a {kind} mask never has, most often RGB "
            f"{tuple(found[worst].tolist())} ({pixels[worst]} pixels). At most "
            f"{MAX_OFF_PALETTE:.0%} may: sky is {_sky(kind)}, small rock green, large "
            f"rock blue. Restore the original file; was it saved as BGR or as JPEG?"
        )


def _sky(kind):
    if kind == "clean":
        return "RGB (255, 0, 0)"
    return f"RGB ({palette.SKY_RED[1]}, 0, 0)"


def decode(data):
    """Returns the pixels of a verified PNG file, uint8 [height, width, 4].

    Red, green, blue and 255: pixels of four bytes are copied and compared fastest.

    Raises:
        ValueError: the pixel data are damaged.
    """
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"corrupt pixel data: {error}") from error
    image = image if image.mode == "RGB" else image.convert("RGB")
    pixels = np.frombuffer(image.tobytes("raw", "RGBX"), np.uint8)
    return pixels.reshape(image.height, image.width, 4)


def _as_rgb(data):
    buffer = io.BytesIO()
    pixels = np.ascontiguousarray(decode(data)[..., :3])
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _top_rows(data):
    rows = decode(png.top_rows(data, label_rules.TOP_ROWS))
    return rows[: label_rules.TOP_ROWS, :, :3]
