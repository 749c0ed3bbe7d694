"""Pictures of masks: palette, overlay with legend, map of errors, uncertainty."""

import base64
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lunar_tfds import palette

# How much of a class's colour an overlay shows over the image, 0 to 1, and at borders.
OVERLAY_STRENGTH = 0.4
BORDER_STRENGTH = 0.9
# RGB of each kind of error, told apart by colour-blind people too (Okabe and Ito).
ERROR_COLORS = {
    "rock missed": (230, 159, 0),
    "rock that is not there": (204, 121, 167),
    "small and large rock mixed up": (86, 180, 233),
    "ground and sky mixed up": (213, 94, 0),
}
RIGHT_ROCK = "rock found"
RIGHT_ROCK_COLOR = (0, 158, 115)
_ROCKS = (palette.SMALL_ROCK, palette.LARGE_ROCK)


def fit_to(image, size):
    """Returns uint8 [height, width, 3] at (height, width); itself if it has that."""
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.BILINEAR))


def overlay(image, mask):
    """Returns an image tinted by class, borders drawn stronger; ground is as it was.

    Args:
        image: uint8 [height, width, 3].
        mask: int [height, width], class ids.

    Returns:
        uint8 [height, width, 3].
    """
    border = np.zeros(mask.shape, bool)
    border[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    border[1:] |= mask[1:] != mask[:-1]
    strength = np.where(border, BORDER_STRENGTH, OVERLAY_STRENGTH)
    strength = np.where(mask == palette.GROUND, 0, strength)[..., np.newaxis]
    tinted = image * (1 - strength) + palette.colorize(mask) * strength
    return np.rint(tinted).astype(np.uint8)


def with_legend(picture, mask):
    """Returns the picture above a strip that names each class, its colour and share.

    Args:
        picture: uint8 [height, width, 3].
        mask: int [height, width], class ids.

    Returns:
        uint8 [height + strip, max(width, the strip's), 3].
    """
    size = int(np.clip(picture.shape[1] / 45, 12, 40))
    font = ImageFont.load_default(size)
    shares = np.bincount(mask.ravel(), minlength=palette.NUM_CLASSES) / mask.size
    labels = [
        f"{name.replace('_', ' ')} {share:.1%}"
        for name, share in zip(palette.CLASS_NAMES, shares, strict=True)
    ]
    step = max(int(font.getlength(label)) for label in labels) + 2 * size
    columns = max(min(len(labels), picture.shape[1] // step), 1)
    rows = -(-len(labels) // columns)
    width = max(picture.shape[1], columns * step + size)
    strip = Image.new("RGB", (width, rows * 2 * size), (24, 24, 27))
    draw = ImageDraw.Draw(strip)
    for index, label in enumerate(labels):
        x = size // 2 + index % columns * step
        y = index // columns * 2 * size + size // 2
        color = palette.CLASS_COLORS[index]
        draw.rectangle((x, y, x + size, y + size), color, outline=(160, 160, 160))
        draw.text((x + 1.5 * size, y + size / 2), label, "white", font, anchor="lm")
    strip = np.asarray(strip)
    padding = ((0, 0), (0, strip.shape[1] - picture.shape[1]), (0, 0))
    return np.concatenate([np.pad(picture, padding), strip])


def error_map(image, mask, predicted_mask):
    """Returns the darkened grey image with errors and rocks found in colour.

    Args:
        image: uint8 [height, width, 3].
        mask: int [height, width], the truth.
        predicted_mask: int [height, width].

    Returns:
        uint8 [height, width, 3], in `ERROR_COLORS` and `RIGHT_ROCK_COLOR`.
    """
    true_rock, predicted_rock = np.isin(mask, _ROCKS), np.isin(predicted_mask, _ROCKS)
    differs = mask != predicted_mask
    cases = (
        true_rock & ~predicted_rock,
        ~true_rock & predicted_rock,
        true_rock & predicted_rock & differs,
        ~true_rock & ~predicted_rock & differs,
    )
    grey = image.mean(axis=-1, keepdims=True) * 0.45
    picture = np.repeat(grey, 3, axis=-1)
    right = true_rock & ~differs
    picture[right] = 0.5 * picture[right] + 0.5 * np.array(RIGHT_ROCK_COLOR)
    for case, color in zip(cases, ERROR_COLORS.values(), strict=True):
        picture[case] = color
    return np.rint(picture).astype(np.uint8)


def to_png(pixels):
    """Returns uint8 [height, width] or [height, width, 3] as PNG bytes."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG")
    return stream.getvalue()


def data_uri(pixels, *, width, photo=False):
    """Returns pixels as a `data:` address for HTML, at most `width` px wide.

    Args:
        pixels: uint8 [height, width, 3].
        width: px.
        photo: JPEG for a photo, PNG (nearest resize, exact colours) for a mask.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if image.width > width:
        height = max(1, round(image.height * width / image.width))
        image = image.resize((width, height), Image.LANCZOS if photo else Image.NEAREST)
    stream = io.BytesIO()
    if photo:
        image.save(stream, format="JPEG", quality=85)
    else:
        image.quantize(256, dither=Image.Dither.NONE).save(
            stream, format="PNG", optimize=True
        )
    kind = "jpeg" if photo else "png"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
