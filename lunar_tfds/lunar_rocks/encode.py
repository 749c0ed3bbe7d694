"""Step 6 of a frame: what was read of it becomes the example that TFDS stores."""

import os
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from lunar_tfds import kaggle_layout, palette
from lunar_tfds.kaggle_layout import MASKS, mask_name
from lunar_tfds.lunar_rocks import png
from lunar_tfds.lunar_rocks.annotations import Box
from lunar_tfds.lunar_rocks.frame_files import Frame

_MASK_DOCS = {
    kaggle_layout.GROUND: "The raw labels from the named intensity upwards.",
    kaggle_layout.CLEAN: "The labels as the author cleaned them.",
}


def features(masks: Sequence[str] = MASKS) -> tfds.features.FeaturesDict:
    """Returns the features of an example.

    Args:
        masks: the kinds of mask that it has.
    """
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


def masks_of(features: Container[str]) -> tuple[str, ...]:
    """Returns the kinds of mask among features, or in an example."""
    return tuple(kind for kind in MASKS if mask_name(kind) in features)


def built_masks(folder: str | os.PathLike) -> tuple[str, ...]:
    """Returns the kinds of mask of a built dataset; all where none is built yet.

    Args:
        folder: of the dataset's version, with its features.json.
    """
    if not (epath.Path(folder) / "features.json").exists():
        return MASKS
    return masks_of(tfds.features.FeaturesDict.from_config(os.fspath(folder)))


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


def encode(
    frame: Frame,
    image: bytes,
    ids: dict[str, np.ndarray],
    boxes: list[Box],
    defects: list[str],
) -> dict[str, Any]:
    """Returns the example of a frame.

    Args:
        frame: the frame.
        image: an 8-bit RGB PNG file.
        ids: uint8 [height, width] by kind of mask, for each that there is.
        boxes: of its large rocks.
        defects: the defects whose list names the frame.
    """
    return {
        "image": image,
        **{mask_name(kind): png.encode_ids(ids[kind]) for kind in ids},
        "frame_id": frame.frame_id,
        "objects": [{"bbox": _bbox(*box)} for box in boxes],
        "defects": {name: name in defects for name in kaggle_layout.DEFECTS},
    }


def _bbox(top: float, left: float, bottom: float, right: float) -> tfds.features.BBox:
    return tfds.features.BBox(
        ymin=top / kaggle_layout.FRAME_HEIGHT,
        xmin=left / kaggle_layout.FRAME_WIDTH,
        ymax=bottom / kaggle_layout.FRAME_HEIGHT,
        xmax=right / kaggle_layout.FRAME_WIDTH,
    )
