"""Splits that other projects scored on, reproduced from the frames' numbers.

Each was read from its project's own code. Not here, since the order of their author's
disk decides: the split of the photos by Olivi et al. (2025).
"""

import dataclasses
import math
import random
from collections.abc import Callable, Sequence

import numpy as np

from lunar_tfds.kaggle_layout import DEFECTS

NUM_RENDERS = 9766  # Renders 0001 to 9766 in every version of the dataset.
Parts = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A published split.

    Attributes:
        divide: function from the numbers of the frames, ascending, to those of each
            split: int array by name.
        crop: (top, left, height, width) cut from every frame, px, or None.
        without: the author's lists of defects whose frames take no part.
        num_listed: frames on these lists as the project had them.
    """

    divide: Callable[[np.ndarray], Parts]
    crop: tuple[int, int, int, int] | None = None
    without: tuple[str, ...] = ()
    num_listed: int = 0


def _lunarsite(frames: np.ndarray) -> Parts:
    order = np.random.RandomState(42).permutation(frames)
    train = round(0.8 * len(frames)) - 1
    validation = len(frames) // 10
    parts = np.split(order, [train, train + validation])
    return dict(zip(("train", "validation", "test"), parts, strict=True))


def _first8000(frames: np.ndarray) -> Parts:
    return {"train": frames[:8000], "validation": frames[8000:]}


def _held_out(frames: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns (rest, held out) as scikit-learn's train_test_split with seed 42."""
    order = np.random.RandomState(42).permutation(len(frames))
    count = math.ceil(share * len(frames))
    return frames[order[count:]], frames[order[:count]]


def _capala(frames: np.ndarray) -> Parts:
    train, validation = _held_out(frames, 0.15)
    return {"train": train, "validation": validation}


def _seg_opt(frames: np.ndarray) -> Parts:
    rest, test = _held_out(frames, 0.1)
    train, validation = _held_out(rest, 0.1 / 0.9)
    return {"train": train, "validation": validation, "test": test}


def _marek(frames: np.ndarray) -> Parts:
    rest = frames[1000:].tolist()
    random.Random(1337).shuffle(rest)
    return {
        "train": np.array(rest[:-1000], frames.dtype),
        "validation": np.array(rest[-1000:], frames.dtype),
        "test": frames[:1000],
    }


PROTOCOLS = {
    # A. S. Encinas's LunarSite: 7812/976/978 frames, 480x480 centre crop.
    "lunarsite": Protocol(_lunarsite, crop=(0, 120, 480, 480)),
    # Spartificial's projects and their many copies. Some crop a corner; this does not.
    "first8000": Protocol(_first8000),
    # M. Capala's Moon-Rock-Segmentation: 7644/1349.
    "capala": Protocol(_capala, without=DEFECTS, num_listed=773),
    # seg-opt: 7353/920/920. Its frozen list agrees with this rule.
    "seg_opt": Protocol(_seg_opt, without=DEFECTS[:4], num_listed=573),
    # D. Marek and J. Nalepa, 2024: 7766/1000/1000, ground masks from intensity 100.
    "marek": Protocol(_marek),
}


def frame_ids(protocol: str, split: str, listed: Sequence[int] = ()) -> np.ndarray:
    """Returns the numbers of the frames in a protocol's split.

    Args:
        protocol: a name in `PROTOCOLS`.
        split: 'train', 'validation' or, where the protocol has one, 'test'.
        listed: numbers of the frames that the protocol's lists of defects name.

    Returns:
        int64 [n], from 1 to 9766.

    Raises:
        ValueError: there is no such protocol or split.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"Unknown protocol {protocol!r}. Use one of {list(PROTOCOLS)}."
        )
    splits = PROTOCOLS[protocol].divide(
        np.setdiff1d(np.arange(1, NUM_RENDERS + 1), listed)
    )
    if split not in splits:
        raise ValueError(
            f"Protocol {protocol!r} has the splits {list(splits)}: got {split!r}."
        )
    return splits[split]


def check_complete(protocol: str, found: np.ndarray, num_listed: int) -> None:
    """Raises ValueError unless a dataset has what a protocol divides.

    Args:
        protocol: its name.
        found: int [n], the frame numbers that the dataset holds: every render.
        num_listed: frames that the protocol's lists of defects name there.
    """
    missing = np.setdiff1d(np.arange(1, NUM_RENDERS + 1), found)
    if len(missing):
        raise ValueError(
            f"Protocol {protocol!r} needs all {NUM_RENDERS} renders and "
            f"{len(missing)} are missing, the first {missing[0]:04d}. Build the whole "
            "dataset, or use its own splits (no protocol)."
        )
    wanted = PROTOCOLS[protocol]
    if num_listed != wanted.num_listed:
        raise ValueError(
            f"Protocol {protocol!r} leaves out {wanted.num_listed} frames on the lists "
            f"{', '.join(wanted.without)}; this dataset's lists name {num_listed}. "
            "Build it from the newest download, or use its own splits (no protocol)."
        )
