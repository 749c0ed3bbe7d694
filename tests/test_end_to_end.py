"""The main job: Kaggle files, `tfds build`, `train.py`, a checkpoint that reloads.

`tfds build` runs in a process of its own, as a user runs it.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.support import building, tiny_frames
from tests.support.narrow import make_narrow

ROOT = pathlib.Path(__file__).parents[1]
TFDS = pathlib.Path(sys.executable).with_name("tfds")


def train_here(data_dir, workdir, **settings):
    """Trains one epoch at 64 px from random weights, in this process."""
    from model.training.run import TrainConfig, train_and_evaluate

    fixed = {"strategy": "one_device", "image_size": 64, "encoder_weights": "none"}
    folders = {"data_dir": data_dir, "workdir": workdir}
    train_and_evaluate(TrainConfig(epochs=1, **fixed, **folders, **settings))


def assert_reload_scores_as_named(workdir, data_dir, split, mask="ground"):
    """Checks that every checkpoint, reloaded, scores what its name says."""
    import keras
    import tensorflow_datasets as tfds

    from lunar_tfds import palette
    from model.network import checkpoints, metrics
    from pipeline import batching

    names = sorted((workdir / "checkpoints").glob("*.keras"))
    assert names
    for path in names:
        epoch, score = re.fullmatch(
            r"vgg16_unet-(\d{3})-(\d\.\d{4})\.keras", path.name
        ).groups()
        details = checkpoints.read_details(path)
        assert details["epoch"] == int(epoch) >= 1
        model = keras.models.load_model(path)
        matrix = np.zeros((4, 4), np.int64)
        for image, truth, weight in batching.evaluation_dataset(
            tfds.builder("lunar_rocks", data_dir=data_dir),
            batching.Selection(split, mask),
            batching.Batches(details["image_size"], 2),
        ):
            predicted = np.argmax(model(image, training=False), axis=-1)
            matrix += np.asarray(
                metrics.confusion_matrix(truth, predicted, weight, num_classes=4)
            )
        scores = metrics.scores_from_confusion(matrix, palette.CLASS_NAMES)
        assert scores["mean_iou"] == pytest.approx(float(score), abs=6e-5)


def test_from_kaggle_files_to_a_checkpoint_that_reloads(tmp_path):
    folder = tiny_frames.write_kaggle_folder(tmp_path / "kaggle", num_frames=24)
    data_dir = tmp_path / "data"
    flags = f"--manual_dir={folder}", f"--data_dir={data_dir}"
    built = subprocess.run(
        [TFDS, "build", "lunar_rocks", *flags],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=500,
    )
    assert built.returncode == 0, built.stdout[-5000:]
    assert "train" in built.stdout
    workdir = tmp_path / "run"
    train_here(data_dir, workdir, train_split="train[:4]", global_batch_size=4)
    assert_reload_scores_as_named(workdir, data_dir, "validation")
    index = json.loads((workdir / "checkpoints" / "index.json").read_text())
    assert str(index).count(".keras") == 1


@pytest.fixture(scope="module")
def real_data_dir(tmp_path_factory):
    """Returns a data_dir with the real frames built in it."""
    frames = os.environ.get("LUNAR_REAL_FRAMES")
    if not frames:
        pytest.skip("set LUNAR_REAL_FRAMES to a folder of the dataset's real frames")
    data_dir = tmp_path_factory.mktemp("real")
    building.build(frames, data_dir)
    return data_dir


# From DATASET facts measured on the originals: ground, sky, small rock, large rock.
REAL_FRACTIONS = {
    ("0001", "ground"): (0.721, 0.267, 0.008, 0.004),
    ("0002", "ground"): (0.910, 0.000, 0.046, 0.043),
    ("0003", "ground"): (0.825, 0.000, 0.157, 0.018),
    ("0001", "clean"): (0.729, 0.267, 0.000, 0.004),
    ("0002", "clean"): (0.932, 0.000, 0.025, 0.043),
    ("0003", "clean"): (0.877, 0.000, 0.105, 0.018),
}


def test_real_frames_have_the_measured_class_fractions(real_data_dir):
    import tensorflow_datasets as tfds

    from lunar_tfds import opening
    from pipeline import batching

    builder = tfds.builder("lunar_rocks", data_dir=real_data_dir)
    split = opening.resolve_split(builder, "train+validation+test")
    found = {}
    for mask in ("ground", "clean"):
        for example in batching.example_dataset(
            builder, batching.Selection(split, mask)
        ):
            counts = np.bincount(np.ravel(example["mask"]), minlength=4)
            name = example["frame_id"].numpy().decode()
            found[name, mask] = counts / counts.sum()
    assert found.keys() == REAL_FRACTIONS.keys()
    for key, fractions in REAL_FRACTIONS.items():
        np.testing.assert_allclose(found[key], fractions, atol=0.005, err_msg=str(key))


def test_real_frames_train_to_a_checkpoint_that_reloads(
    real_data_dir, tmp_path, monkeypatch
):
    make_narrow(monkeypatch)
    every = "train+validation+test"
    train_here(
        *(real_data_dir, tmp_path / "run"),
        **{"train_split": every, "validation_split": every, "global_batch_size": 2},
    )
    assert_reload_scores_as_named(tmp_path / "run", real_data_dir, "train+validation")
