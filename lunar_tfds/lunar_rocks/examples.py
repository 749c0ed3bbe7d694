"""Turns what was read of a frame into the example that TFDS stores."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from lunar_tfds import palette
from lunar_tfds.lunar_rocks import annotations, frame_files


def features():
    """Returns the features of an example."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(
                shape=(None, None, 3),
                encoding_format="png",
                doc="The render, 720x480, or the photo, of any size.",
            ),
            "ground_mask": _mask("The raw labels from the named intensity upwards."),
            "clean_mask": _mask("The labels as the author cleaned them."),
            "frame_id": tfds.features.Text(doc="'0001' of a render, 'PCAM5' a photo."),
            "objects": tfds.features.Sequence(
                {"bbox": tfds.features.BBoxFeature()},
                doc="Large rocks of the raw labels, larger than 20x20 px.",
            ),
            "defects": {name: _defect(name) for name in annotations.DEFECTS},
        }
    )


def _mask(doc):
    return tfds.features.LabeledImage(
        labels=list(palette.CLASS_NAMES),
        shape=(None, None, 1),
        encoding_format="png",
        doc=doc,
    )


def _defect(name):
    doc = f"Whether the author's {name}_IDs.txt names the frame."
    return tfds.features.Scalar(np.bool_, doc=doc)


def example(reading, boxes, defects):
    """Returns the example of a Reading.

    Args:
        reading: reading.Reading without a problem.
        boxes: list of (top, left, bottom, right), px.
        defects: set of the defects whose list names the frame.
    """
    frame_id = reading.frame.frame_id
    return {
        "image": reading.image,
        "ground_mask": reading.ground_mask,
        "clean_mask": reading.clean_mask,
        "frame_id": frame_id,
        "objects": [{"bbox": _bbox(*box)} for box in boxes],
        "defects": {name: name in defects for name in annotations.DEFECTS},
    }


def serialize(example):
    """Returns what `features().serialize_example` makes of an example.

    TFDS's serializer inspects every value anew for each example and holds Python's lock
    meanwhile, for as long as decoding a small mask takes; this takes a sixth of it.

    Args:
        example: dict, as `example` returns it.

    Returns:
        bytes, a tf.train.Example.
    """
    message = tf.train.Example()
    feature = message.features.feature
    for name in ("image", "ground_mask", "clean_mask"):
        feature[name].bytes_list.value.append(example[name])
    feature["frame_id"].bytes_list.value.append(example["frame_id"].encode())
    boxes = feature["objects/bbox"].float_list
    boxes.SetInParent()  # A list even where there is no box.
    for item in example["objects"]:
        boxes.value.extend(item["bbox"])
    for name, value in example["defects"].items():
        feature[f"defects/{name}"].int64_list.value.append(int(value))
    return message.SerializeToString()


def _bbox(top, left, bottom, right):
    return tfds.features.BBox(
        ymin=top / frame_files.FRAME_HEIGHT,
        xmin=left / frame_files.FRAME_WIDTH,
        ymax=bottom / frame_files.FRAME_HEIGHT,
        xmax=right / frame_files.FRAME_WIDTH,
    )
