"""Pictures of an evaluation: an image at its mask's size, and the map of errors."""

import numpy as np
from PIL import Image

from model.inference.rocks import is_rock

# RGB of each kind of error, told apart by colour-blind people too (Okabe and Ito).
ERROR_COLORS = {
    "rock missed": (230, 159, 0),
    "rock that is not there": (204, 121, 167),
    "small and large rock mixed up": (86, 180, 233),
    "ground and sky mixed up": (213, 94, 0),
}
RIGHT_ROCK = "rock found"
RIGHT_ROCK_COLOR = (0, 158, 115)


def fit_to(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns uint8 [height, width, 3] at (height, width); itself if it has that."""
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(
        Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    )


def error_map(
    image: np.ndarray, mask: np.ndarray, predicted_mask: np.ndarray
) -> np.ndarray:
    """Returns the darkened grey image with errors and rocks found in colour.

    Args:
        image: uint8 [height, width, 3].
        mask: int [height, width], the truth.
        predicted_mask: int [height, width].

    Returns:
        uint8 [height, width, 3], in `ERROR_COLORS` and `RIGHT_ROCK_COLOR`.
    """
    true_rock, predicted_rock = is_rock(mask), is_rock(predicted_mask)
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
