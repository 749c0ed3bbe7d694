"""Examples are serialized as TFDS itself serializes them."""

import pytest
import tensorflow as tf

from lunar_tfds.lunar_rocks import examples, frame_files, frame_reader

FRAME = frame_files.Frame("0001", "train", "", "", "")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("boxes", [[], [(1.5, 0, 20, 30.25), (0, 0, 480, 720)]])
@pytest.mark.parametrize("defects", [[], ["shadow", "mismatch"]])
def test_bytes_hold_what_tfds_would_write(boxes, defects):
    found = frame_reader.Reading(
        FRAME, image=PNG + b"i", ground_mask=PNG + b"g", clean_mask=PNG + b"c"
    )
    example = examples.example(found, boxes, defects)
    expected = examples.features().serialize_example(example)
    parsed = tf.train.Example.FromString(examples.serialize(example))
    assert parsed == tf.train.Example.FromString(expected)
    assert len(parsed.features.feature["objects/bbox"].float_list.value) == (
        4 * len(boxes)
    )
