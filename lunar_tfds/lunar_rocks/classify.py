"""Step 4 of a frame: colours of its label images become classes."""

import numpy as np

from lunar_tfds import kaggle_layout, palette
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.problems import OffPaletteError

# Share of a label image that may be off the palette. Copies encoded anew have about
# 1 % there, at class edges; swapped or misread colours have far more.
MAX_OFF_PALETTE = 0.02


def classify(
    masks: dict[str, np.ndarray], frame: Frame, rock_threshold: int
) -> dict[str, np.ndarray]:
    """Returns the class ids of each label image, uint8 [height, width] by kind.

    Args:
        masks: uint8 [height, width, 3] by kind.
        frame: whose they are.
        rock_threshold: intensity from which a rock counts in a `ground` file.

    Raises:
        OffPaletteError: a mask has other colours than a mask of its kind.
    """
    ids = {}
    for kind, rgb in masks.items():
        # A photo's labels, whatever they stand for, have the colours of `clean`.
        colors = kaggle_layout.CLEAN if frame.is_photo else kind
        check_colors(rgb, colors, frame.masks[kind])
        ids[kind] = palette.class_ids(rgb, rock_threshold)
    return ids


def check_colors(rgb: np.ndarray, kind: str, name: str) -> None:
    """Raises OffPaletteError if too many pixels have colours off the palette.

    Args:
        rgb: uint8 [height, width, 3].
        kind: 'ground' or 'clean'.
        name: of the file.
    """
    off = palette.off_palette(rgb, kind)
    count = int(np.count_nonzero(off))
    if count <= MAX_OFF_PALETTE * off.size:
        return
    found, pixels = np.unique(rgb[off], axis=0, return_counts=True)
    worst = pixels.argmax()
    sky = palette.CLASS_COLORS[palette.SKY][0]
    if kind == kaggle_layout.GROUND:
        sky = palette.SKY_RED[1]
    raise OffPaletteError(
        f"{name}: {count} of {off.size} pixels ({count / off.size:.1%}) have "
        f"colours that a {kind} mask never has, most often RGB "
        f"{tuple(found[worst].tolist())} ({pixels[worst]} pixels). At most "
        f"{MAX_OFF_PALETTE:.0%} may: sky is RGB ({sky}, 0, 0), small rock green, large "
        f"rock blue. Restore the original file; was it saved as BGR or as JPEG?"
    )
