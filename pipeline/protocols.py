"""Splits that other projects scored on, reproduced from the frames' numbers."""

import dataclasses
from collections.abc import Callable

import numpy as np

NUM_RENDERS = 9766  # Renders 0001 to 9766 in every version of the dataset.


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A published split.

    Attributes:
        split_frame_ids: function returning {split name: int array of frame numbers}.
        crop: (top, left, height, width) cut from every frame, px, or None.
    """

    split_frame_ids: Callable[[], dict[str, np.ndarray]]
    crop: tuple | None = None


def _lunarsite():
    order = np.random.RandomState(42).permutation(NUM_RENDERS) + 1
    train = round(0.8 * NUM_RENDERS) - 1
    validation = NUM_RENDERS // 10
    parts = np.split(order, [train, train + validation])
    return dict(zip(("train", "validation", "test"), parts, strict=True))


def _first8000():
    order = np.arange(1, NUM_RENDERS + 1)
    return {"train": order[:8000], "validation": order[8000:]}


PROTOCOLS = {
    # A. S. Encinas's LunarSite: 7812/976/978 frames, 480x480 centre crop.
    "lunarsite": Protocol(_lunarsite, crop=(0, 120, 480, 480)),
    # Spartificial's projects and their many copies. Some crop a corner; this does not.
    "first8000": Protocol(_first8000),
}


def frame_ids(protocol: str, split: str) -> np.ndarray:
    """Returns the numbers of the frames in a protocol's split.

    Args:
        protocol: a name in `PROTOCOLS`.
        split: 'train', 'validation' or, for `lunarsite`, 'test'.

    Returns:
        int64 [n], from 1 to 9766.

    Raises:
        ValueError: there is no such protocol or split.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"Unknown protocol {protocol!r}. Use one of {list(PROTOCOLS)}."
        )
    splits = PROTOCOLS[protocol].split_frame_ids()
    if split not in splits:
        raise ValueError(
            f"Protocol {protocol!r} has the splits {list(splits)}: got {split!r}."
        )
    return splits[split]


def check_complete(protocol: str, found: np.ndarray) -> None:
    """Raises ValueError unless every render is among the frames of a dataset.

    Args:
        protocol: its name.
        found: int [n], the frame numbers that the dataset holds.
    """
    missing = np.setdiff1d(np.arange(1, NUM_RENDERS + 1), found)
    if len(missing):
        raise ValueError(
            f"Protocol {protocol!r} needs all {NUM_RENDERS} renders and "
            f"{len(missing)} are missing, the first {missing[0]:04d}. Build the whole "
            "dataset, or use its own splits (no protocol)."
        )
