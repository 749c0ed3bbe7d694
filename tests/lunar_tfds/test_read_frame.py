"""An example holds what was read of a frame."""

import numpy as np
import pytest
import tensorflow as tf

from lunar_tfds.lunar_rocks import features, frame_files, picture_files, read_frame

FRAME = frame_files.Frame("0001", "train", "", {"ground": "", "clean": ""})
IDS = {"ground": np.eye(4, dtype=np.uint8), "clean": np.full((4, 4), 3, np.uint8)}


@pytest.mark.parametrize("boxes", [[], [(1.5, 0, 20, 30.25), (0, 0, 480, 720)]])
@pytest.mark.parametrize("defects", [[], ["shadow", "mismatch"]])
def test_serialized_examples_hold_masks_boxes_and_defects(boxes, defects):
    image = picture_files.encode_ids(IDS["ground"])
    example = read_frame.encode(read_frame.Job(FRAME, boxes, defects), image, IDS)
    data = features.features().serialize_example(example)
    feature = tf.train.Example.FromString(data).features.feature
    for name, value in (("image", image), ("frame_id", b"0001")):
        assert list(feature[name].bytes_list.value) == [value]
    for kind, ids in IDS.items():
        assert feature[f"{kind}_mask"].bytes_list.value[0] == picture_files.encode_ids(
            ids
        )
    shares = np.ravel(np.divide(boxes, (480, 720, 480, 720)) if boxes else [])
    found = list(feature["objects/bbox"].float_list.value)
    np.testing.assert_allclose(found, shares, rtol=1e-6)
    named = {
        k for k, v in feature.items() if k[:8] == "defects/" and v.int64_list.value[0]
    }
    assert named == {f"defects/{name}" for name in defects}
