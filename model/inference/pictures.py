"""Pictures of a prediction: the overlay, a legend below it, addresses for HTML."""

import base64
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lunar_tfds import image_arrays, palette

# How much of a class's colour an overlay shows over the image, 0 to 1, and at borders.
OVERLAY_STRENGTH = 0.4
BORDER_STRENGTH = 0.9


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns an image tinted by class, borders drawn stronger; ground is as it was.

    Args:
        image: uint8 [height, width, 3].
        mask: int [height, width], class ids.

    Returns:
        uint8 [height, width, 3].
    """
    return image_arrays.overlay(image, mask, OVERLAY_STRENGTH, BORDER_STRENGTH)


def with_legend(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the picture above a strip that names each class, its colour and share.

    Args:
        picture: uint8 [height, width, 3].
        mask: int [height, width], class ids.

    Returns:
        uint8 [height + strip, max(width, the strip's), 3].
    """
    size = int(np.clip(picture.shape[1] / 45, 12, 40))
    font = ImageFont.load_default(size)
    shares = palette.class_shares(mask)
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
    height = picture.shape[0]
    result = np.zeros((height + strip.height, width, 3), np.uint8)
    result[:height, : picture.shape[1]] = picture
    result[height:] = np.asarray(strip)
    return result


def fit(pixels: np.ndarray, width: int, *, photo: bool = False) -> np.ndarray:
    """Returns pixels at most `width` px wide, in the same proportions.

    Args:
        pixels: uint8 [height, width] or [height, width, 3].
        width: px.
        photo: whether neighbours may be blended; ids and colours of classes may not.
    """
    if pixels.shape[1] <= width:
        return pixels
    height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    kinds = Image.Resampling
    image = Image.fromarray(np.ascontiguousarray(pixels))
    resampling = kinds.LANCZOS if photo else kinds.NEAREST
    return np.asarray(image.resize((width, height), resampling))


def data_uri(pixels: np.ndarray, *, width: int, photo: bool = False) -> str:
    """Returns pixels as a `data:` address for HTML, at most `width` px wide.

    Args:
        pixels: uint8 [height, width, 3].
        width: px.
        photo: JPEG for a photo, PNG (nearest resize, exact colours) for a mask.
    """
    image = Image.fromarray(np.ascontiguousarray(fit(pixels, width, photo=photo)))
    file = io.BytesIO()
    if photo:
        image.save(file, "JPEG", quality=85)
        return data_address("image/jpeg", file.getvalue())
    image.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return data_address("image/png", file.getvalue())


def layer_uri(mask: np.ndarray, *, width: int) -> str:
    """Returns what `overlay` lays over an image as a `data:` address: a clear PNG.

    Args:
        mask: uint8 [height, width], class ids.
        width: px, at most.
    """
    mask = fit(mask, width)
    layer = Image.fromarray(image_arrays.tint_kinds(mask))
    layer.putpalette(np.asarray(palette.CLASS_COLORS * 2, np.uint8).tobytes())
    strengths = image_arrays.tint_strengths(OVERLAY_STRENGTH, BORDER_STRENGTH)
    file = io.BytesIO()
    alpha = np.rint(strengths * 255).astype(np.uint8).tobytes()
    # To optimize it takes eight times as long, for 4 % of its bytes.
    layer.save(file, "PNG", transparency=alpha)
    return data_address("image/png", file.getvalue())


def data_address(kind: str, data: bytes) -> str:
    """Returns bytes of a MIME type such as `image/png` as a `data:` address."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
