"""The build from real frames, against fractions measured independently."""

import os

import numpy as np
import pytest
import tensorflow_datasets as tfds

import lunar_tfds

# Fractions of ground, sky, small rock, large rock; ground masks at intensity >= 100.
FRACTIONS = {
    "0001": ((0.721, 0.267, 0.008, 0.004), (0.729, 0.267, 0.000, 0.004)),
    "0002": ((0.910, 0.000, 0.046, 0.043), (0.932, 0.000, 0.025, 0.043)),
    "0003": ((0.825, 0.000, 0.157, 0.018), (0.877, 0.000, 0.105, 0.018)),
    "PCAM5": ((0.739, 0.072, 0.026, 0.162),) * 2,
    "TCAM3": ((0.976, 0.000, 0.006, 0.018),) * 2,
}


@pytest.fixture(scope="module")
def real_examples(tmp_path_factory):
    folder = os.environ.get("LUNAR_REAL_FRAMES")
    if not folder:
        pytest.skip("set LUNAR_REAL_FRAMES to a folder of real frames")
    builder = lunar_tfds.LunarRocks(data_dir=tmp_path_factory.mktemp("tfds"))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=folder)
    )
    examples = {}
    for split in builder.info.splits:
        for example in tfds.as_numpy(builder.as_dataset(split=split)):
            examples[example["frame_id"].decode()] = example
    return examples


def fractions(mask):
    return np.bincount(mask.ravel(), minlength=4) / mask.size


@pytest.mark.parametrize("frame_id", FRACTIONS)
def test_class_fractions(real_examples, frame_id):
    example = real_examples[frame_id]
    ground, clean = FRACTIONS[frame_id]
    np.testing.assert_allclose(fractions(example["ground_mask"]), ground, atol=0.005)
    np.testing.assert_allclose(fractions(example["clean_mask"]), clean, atol=0.005)
