"""What an example of the dataset holds."""

import os
from collections.abc import Container, Sequence

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from lunar_tfds import kaggle_layout, palette
from lunar_tfds.kaggle_layout import MASKS, mask_name

_MASK_DOCS = {
    kaggle_layout.GROUND: "The raw labels from the named intensity upwards.",
    kaggle_layout.CLEAN: "The labels as the author cleaned them.",
}


def features(masks: Sequence[str] = MASKS) -> tfds.features.FeaturesDict:
    """Return the features of an example that has these kinds of mask."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(
                shape=(None, None, 3),
                encoding_format="png",
                doc=f"The render, {kaggle_layout.FRAME_WIDTH}x"
                f"{kaggle_layout.FRAME_HEIGHT}, or the photo, of any size.",
            ),
            **{mask_name(kind): _mask(_MASK_DOCS[kind]) for kind in masks},
            "frame_id": tfds.features.Text(doc="'0001' of a render, 'PCAM5' a photo."),
            "objects": tfds.features.Sequence(
                {"bbox": tfds.features.BBoxFeature()},
                doc="Large rocks of the raw labels, larger than 20x20 px.",
            ),
            "defects": {name: _defect(name) for name in kaggle_layout.DEFECTS},
        }
    )


def _mask(doc: str) -> tfds.features.LabeledImage:
    return tfds.features.LabeledImage(
        labels=list(palette.CLASS_NAMES),
        shape=(None, None, 1),
        encoding_format="png",
        doc=doc,
    )


def _defect(name: str) -> tfds.features.Scalar:
    doc = f"Whether the author's {kaggle_layout.defects_file(name)} names the frame."
    return tfds.features.Scalar(np.bool_, doc=doc)


def masks_of(features: Container[str]) -> tuple[str, ...]:
    """Return the kinds of mask among features, or in an example."""
    return tuple(kind for kind in MASKS if mask_name(kind) in features)


def built_masks(folder: str | os.PathLike) -> tuple[str, ...]:
    """Return the kinds of mask of the dataset built in a folder.

    Returns:
        All kinds where no dataset is built yet.
    """
    if not (epath.Path(folder) / "features.json").exists():
        return MASKS
    return masks_of(tfds.features.FeaturesDict.from_config(os.fspath(folder)))
