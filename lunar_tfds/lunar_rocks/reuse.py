"""Checks whether a built dataset is the one that is asked for."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from lunar_tfds.lunar_rocks.sources import DatasetFiles


@dataclasses.dataclass
class Making:
    """Everything that decides which examples a dataset has.

    Attributes:
        fingerprint: of the source, see `sources.fingerprint`.
        max_examples: of each split, None for all.
        threshold: intensity from which a rock counts.
        left_out: sorted ids of the damaged frames.
    """

    fingerprint: str | None
    max_examples: int | None
    threshold: int | None
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"with fingerprint {self.fingerprint}, at most "
            f"{self.max_examples or 'all'} examples a split, rocks from intensity "
            f"{self.threshold}, {len(self.left_out) or 'no'} damaged frames left out"
        )


def making(metadata: Mapping[str, Any]) -> Making:
    """Return how a built dataset was made, from its metadata."""
    return Making(
        metadata.get("source_fingerprint"),
        metadata.get("max_examples_per_split"),
        metadata.get("ground_threshold"),
        tuple(sorted(metadata.get("left_out_frames", ()))),
    )


def check(
    data_dir: str | os.PathLike,
    metadata: Mapping[str, Any],
    source: DatasetFiles,
    wanted: Making,
    leave_out: bool,
) -> None:
    """Check that a built dataset may be reused.

    Args:
        data_dir: its folder.
        metadata: its metadata.
        source: what a new build would read.
        wanted: what a new build would make of sound frames.
        leave_out: whether damaged frames may be missing.

    Raises:
        ValueError: it was made from another source or otherwise than asked for.
    """
    before = making(metadata)
    now = dataclasses.replace(wanted, left_out=before.left_out if leave_out else ())
    if before != now:
        raise ValueError(
            f"{data_dir} was made from the {metadata.get('source')}, {before}; "
            f"asked for is the {source.description}, {now}. Build it anew with "
            f"--overwrite (Python: "
            f"download_mode=tfds.GenerateMode.REUSE_CACHE_IF_EXISTS), or use "
            f"another --data_dir."
        )
