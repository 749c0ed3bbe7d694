"""Which examples of a built dataset are meant, and which of their masks."""

import dataclasses
from typing import Any

from lunar_tfds.kaggle_layout import GROUND, MASKS
from lunar_tfds.settings import check, setting
from pipeline.protocols import PROTOCOLS


def mask(default: str | None = GROUND, help: str = "Masks to learn.") -> Any:
    """Returns the field of --mask."""
    return setting(default, help, choices=MASKS)


def exclude_defects() -> Any:
    """Returns the field of --exclude_defects."""
    return setting((), "Defect lists whose frames are left out.")


def protocol() -> Any:
    """Returns the field of --protocol, a name in `protocols.PROTOCOLS`."""
    return setting(None, "Another project's split.", choices=tuple(PROTOCOLS))


@dataclasses.dataclass(frozen=True)
class Selection:
    """A part of the dataset.

    Attributes:
        split: a TFDS split such as 'train' or 'train[:10%]+validation'; with a
            protocol, one of the protocol's own.
        mask: 'ground' or 'clean'.
        exclude_defects: names of defect lists; frames on any of them are left out.
        protocol: None, or a name in `protocols.PROTOCOLS`.

    Raises:
        ValueError: there is no such mask. What the dataset lacks is found by
            `records.find`.
    """

    split: str = setting("train", "TFDS split expression.")
    mask: str = mask()
    exclude_defects: tuple = exclude_defects()
    protocol: str | None = protocol()

    def __post_init__(self):
        check(self)
