"""Step 4 of a frame: are the colours of its label images the palette's?"""

import numpy as np

from lunar_tfds import kaggle_layout, palette
from lunar_tfds.kaggle_layout import CLEAN, GROUND, PHOTO_MASK
from lunar_tfds.lunar_rocks import evidence
from lunar_tfds.lunar_rocks.frame_files import Frame
from lunar_tfds.lunar_rocks.label_statistics import Statistics

# Share of a label image that may be off the palette. Copies encoded anew have about
# 1 % there, at class edges; swapped or misread colours have far more.
MAX_OFF_PALETTE = 0.02
# Share of a kind's masks that may deviate: single frames are left out, beyond this it
# is the set that is wrong.
MANY = 0.25


def check(masks: dict[str, np.ndarray], frame: Frame, reasons: list[str]) -> Statistics:
    """Returns the Statistics of the colours of a frame's label images.

    Args:
        masks: uint8 [height, width, 3] by kind.
        frame: whose they are.
        reasons: why it cannot be used; each deviating mask adds one.
    """
    statistics = Statistics()
    seen = set()
    for kind, rgb in masks.items():
        if frame.masks[kind] in seen:  # The one mask of a photo.
            continue
        seen.add(frame.masks[kind])
        # A photo's labels, whatever they stand for, have the colours of `clean`.
        colors = CLEAN if frame.is_photo else kind
        group = PHOTO_MASK if frame.is_photo else kind
        statistics.masks[group] = 1
        off = palette.off_palette(rgb, colors)
        count = int(np.count_nonzero(off))
        if count > MAX_OFF_PALETTE * off.size:
            color, pixels = _most_frequent(rgb[off])
            statistics.deviating[group] = 1
            statistics.wrong_colors[group] = {color: pixels}
            reasons.append(
                f"{frame.masks[kind]}: {count} of {off.size} pixels "
                f"({count / off.size:.1%}) have colours that a {colors} mask never "
                f"has, most often RGB {color} ({pixels} pixels)"
            )
    if not frame.is_photo and masks.keys() == set(kaggle_layout.MASKS):
        shares = {kind: evidence.primaries(rgb) for kind, rgb in masks.items()}
        if None not in shares.values():
            statistics.pairs = 1
            statistics.primaries = {kind: share or 0 for kind, share in shares.items()}
    return statistics


def _most_frequent(colors: np.ndarray) -> tuple[str, int]:
    """Returns the most frequent of uint8 [n, 3] as '(9, 8, 7)', and its count."""
    # Rows as whole numbers: numpy sorts those twenty times as fast.
    codes = colors.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    found, counts = np.unique(codes, return_counts=True)
    most = counts.argmax()
    color = tuple(int(found[most]).to_bytes(3, "big"))
    return str(color), int(counts[most])


def explanation(statistics: Statistics) -> str:
    """Returns which kinds of mask deviate in too many frames, or nothing."""
    texts = []
    for kind, deviating in statistics.deviating.items():
        total, wrong = statistics.masks[kind], statistics.wrong_colors[kind]
        if deviating < 2 or deviating <= MANY * total:
            continue
        worst = max(wrong, key=lambda color: wrong[color])
        sky = palette.CLASS_COLORS[palette.SKY][0]
        sky = palette.SKY_RED[1] if kind == GROUND else sky
        texts.append(
            f"{deviating} of {total} {kind.removesuffix(' mask')} masks have other "
            f"colours than the palette, most often RGB {worst}. At most "
            f"{MAX_OFF_PALETTE:.0%} of a mask may: sky is RGB ({sky}, 0, 0), small "
            f"rock green, large rock blue. Restore the original files; were they saved "
            f"as BGR or as JPEG?"
        )
    return " ".join(texts)
