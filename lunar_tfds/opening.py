"""Opens a built `lunar_rocks`, and says which one it is."""

import os
from typing import Any

import tensorflow_datasets as tfds

NAME = "lunar_rocks"


def open_dataset(data_dir: str | os.PathLike | None = None) -> tfds.core.DatasetBuilder:
    """Returns the builder of the built `lunar_rocks`.

    Args:
        data_dir: TFDS data_dir, by default TFDS's own.

    Raises:
        ValueError: it is not built there; says where it looked and how to build it.
    """
    builder = tfds.builder(NAME, data_dir=data_dir)
    if not (builder.data_path / "dataset_info.json").exists():
        where = f" --data_dir={data_dir}" if data_dir else ""
        raise ValueError(
            f"no built dataset in {builder.data_path}. Make it with: "
            f"tfds build {NAME}{where} --manual_dir=FOLDER_OF_THE_KAGGLE_FILES"
        )
    return builder


def check_split(builder: tfds.core.DatasetBuilder, split: str) -> int:
    """Returns how many examples a split of a built dataset has, at least one.

    Args:
        builder: of the built dataset.
        split: a TFDS split expression, such as 'train+real[:5]'.

    Raises:
        ValueError: it is no such expression, names a split that the dataset has not,
            or holds no example.
    """
    names = {part.partition("[")[0].strip() for part in split.split("+")}
    if not names <= set(builder.info.splits):
        raise ValueError(
            f"No split {split!r}: this dataset has {sorted(builder.info.splits)}."
        )
    try:
        count = builder.info.splits[split].num_examples
    except (ValueError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{split!r} is no split expression ({reason}). Such are "
            "train, train[:10], train[:10%] and train[:10]+real."
        ) from error
    if not count:
        raise ValueError(f"No example in {split!r}. Choose a larger part.")
    return count


def identity(builder: tfds.core.DatasetBuilder) -> dict[str, Any]:
    """Returns which dataset this is: two with equal identities hold equal examples.

    Args:
        builder: of the built dataset.

    Returns:
        Strings by name, version, config (None without one) and source_fingerprint.
    """
    config = builder.builder_config
    return {
        "name": builder.name,
        "version": str(builder.version),
        "config": config.name if config else None,
        "source_fingerprint": (builder.info.metadata or {}).get("source_fingerprint"),
    }
