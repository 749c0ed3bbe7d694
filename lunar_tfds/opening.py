"""Opens a built `lunar_rocks` and identifies it."""

import concurrent.futures
import os
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from lunar_tfds import kaggle_layout, palette
from lunar_tfds.kaggle_layout import mask_name
from lunar_tfds.lunar_rocks import features, reuse
from lunar_tfds.lunar_rocks.frame_files import SPLITS

NAME = "lunar_rocks"
# Datasets opened by this process, by folder.
_opened: dict[str, tfds.core.DatasetBuilder] = {}
_SPLITS_ARE = "Write it as 'train', 'train[:10%]' or 'train+validation'"


def open_dataset(data_dir: str | os.PathLike | None = None) -> tfds.core.DatasetBuilder:
    """Return the builder of the built `lunar_rocks`.

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
    _opened[str(builder.data_dir)] = builder
    return builder


def damaged_files() -> list[str]:
    """Return the files with a damaged record, of all datasets opened here.

    TensorFlow's error names the position of a damaged record but not its file, so all
    files are read again.
    """
    files = [
        os.fspath(path)
        for builder in _opened.values()
        for split in builder.info.splits.values()
        for path in split.filepaths
    ]

    if files:
        logging.info("A record is damaged. Looking for its file ...")

    def is_whole(file):
        try:
            records = tf.data.TFRecordDataset(file, buffer_size=2**20)
            records.reduce(0, lambda count, _: count + 1)
        except tf.errors.DataLossError:
            return False
        except tf.errors.OpError:  # Says itself which file it cannot read.
            pass
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        whole = list(pool.map(is_whole, files))
    return [file for file, good in zip(files, whole, strict=True) if not good]


def split_names(split: str) -> list[str]:
    """Return the names in a split: 'train' and 'real' of 'train[:5]+real'."""
    return [part.partition("[")[0].strip() for part in split.split("+")]


def resolve_split(builder: tfds.core.DatasetBuilder, split: str) -> str:
    """Return a split expression without the splits that the dataset lacks.

    Args:
        builder: of the built dataset.
        split: such as 'train+validation+test' or 'train[:10%]'.

    Raises:
        ValueError: a name is no split, no split is left, or TFDS cannot parse the
            expression.
    """
    parts = [part.strip() for part in split.split("+")]
    names = split_names(split)
    built = builder.info.splits
    for name in names:
        if name not in SPLITS and name not in built:
            raise ValueError(
                f"no split {name!r}: the dataset in {builder.data_dir} has "
                f"{', '.join(sorted(built))}. {_SPLITS_ARE}"
            )
    present = [p for p, name in zip(parts, names, strict=True) if name in built]
    if not present:
        raise ValueError(
            f"The dataset in {builder.data_dir} has no split {split!r}, only "
            f"{sorted(built)}. Use one of them, or build the dataset "
            "from the folder that holds the missing frames."
        )
    missing = sorted(set(parts) - set(present))
    if missing:
        logging.warning("The dataset has no split %s: left out.", ", ".join(missing))
    resolved = "+".join(present)
    try:
        _ = built[resolved].num_examples
    except Exception as error:  # TFDS raises many kinds for what it cannot parse.
        reason = (str(error).splitlines() or [type(error).__name__])[-1]
        raise ValueError(
            f"{split!r} is no split expression: {reason} {_SPLITS_ARE}"
        ) from error
    return resolved


def masks(builder: tfds.core.DatasetBuilder) -> tuple[str, ...]:
    """Return the kinds of mask that a built dataset has: 'ground', 'clean' or both."""
    return features.masks_of(builder.info.features)


def check_mask(builder: tfds.core.DatasetBuilder, mask: str) -> None:
    """Raise ValueError if a built dataset lacks a kind of mask, 'ground' or 'clean'."""
    there = masks(builder)
    if mask not in there:
        raise ValueError(
            f"The dataset in {builder.data_dir} has no {mask_name(mask)}, only "
            f"{', '.join(map(mask_name, there))}: use --mask={there[0]}, or build it "
            f"from a copy that has {kaggle_layout.IMAGES}/{mask} as well."
        )


def identity(builder: tfds.core.DatasetBuilder) -> dict[str, Any]:
    """Return what identifies a built dataset: equal identities mean equal examples.

    Returns:
        JSON values of name, version, config (None without one) and source_fingerprint;
        of max_examples_per_split, ground_threshold and left_out_frames (list of ids)
        only where they differ from the defaults.
    """
    config = builder.builder_config
    making = reuse.making(builder.info.metadata or {})
    found: dict[str, Any] = {
        "name": builder.name,
        "version": str(builder.version),
        "config": config.name if config else None,
        "source_fingerprint": making.fingerprint,
    }
    if making.max_examples is not None:
        found["max_examples_per_split"] = making.max_examples
    if making.threshold not in (None, palette.ROCK_THRESHOLD):
        found["ground_threshold"] = making.threshold
    if making.left_out:
        found["left_out_frames"] = list(making.left_out)
    return found
