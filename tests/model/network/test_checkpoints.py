import json
import zipfile

import keras
import numpy as np
import pytest

from model.network import checkpoints
from model.network.checkpoints import (
    best_checkpoint,
    load_checkpoint,
    read_details,
    save_model,
)
from tests.support.small_network import DETAILS, images, small_model


def test_a_saved_model_gives_the_same_logits_and_details(tmp_path):
    model = small_model(synchronized=True)
    model.compile("adam", "mse")
    path = tmp_path / "deep" / "m.keras"
    save_model(model, path, DETAILS | {"score": float("nan"), "epoch": 3})
    loaded, details, found = load_checkpoint(path)
    np.testing.assert_array_equal(model(images()), loaded(images()))
    assert details == DETAILS | {"score": None, "epoch": 3}
    assert found == path
    assert [p.name for p in path.parent.iterdir()] == ["m.keras"]


def test_the_file_loads_with_plain_keras_and_holds_no_optimizer(tmp_path):
    model = small_model(synchronized=True)
    model.compile("adam", "mse")
    model.fit(images(), np.zeros([2, 16, 16, 4]), verbose=0)
    save_model(model, tmp_path / "m.keras", DETAILS)
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert not loaded.compiled
    assert loaded.layers[2].synchronized is False
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert not json.loads(archive.read("config.json"))["compile_config"]


def test_missing_details_are_refused(tmp_path):
    with pytest.raises(ValueError, match="class_names"):
        save_model(small_model(), tmp_path / "m.keras", {"image_size": 16, "mask": "x"})


def test_a_missing_truncated_damaged_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "m.keras"
    with pytest.raises(ValueError, match="does not exist"):
        read_details(path)
    save_model(small_model(), path, DETAILS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="truncated"):
        load_checkpoint(path)
    middle = len(whole) // 2
    flipped = bytes([whole[middle] ^ 255])
    path.write_bytes(whole[:middle] + flipped + whole[middle + 1 :])
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(path)
    small_model().save(path)
    with pytest.raises(ValueError, match="not a checkpoint of this project"):
        load_checkpoint(path)


def test_other_classes_are_refused(tmp_path):
    save_model(small_model(num_classes=3), tmp_path / "m.keras", DETAILS)
    with pytest.raises(ValueError, match="gives 3 classes but names 4"):
        load_checkpoint(tmp_path / "m.keras")


def test_a_workdir_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint in"):
        load_checkpoint(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "index.json").write_text("[]")
    with pytest.raises(ValueError, match="not an index"):
        best_checkpoint(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_is_not_finite_is_neither_written_nor_read(
    value, tmp_path, monkeypatch
):
    model, path = small_model(), tmp_path / "m.keras"
    save_model(model, path, DETAILS)
    good = path.read_bytes()
    variance = model.layers[2].moving_variance  # Not trained, and used all the same.
    variance.assign(np.full(variance.shape, value))
    with pytest.raises(FloatingPointError, match="m.keras was not .*moving_variance"):
        save_model(model, path, DETAILS)
    assert path.read_bytes() == good
    monkeypatch.setattr(checkpoints, "first_not_finite", lambda _: None)
    save_model(model, path, DETAILS)  # As an earlier version did.
    monkeypatch.undo()
    with pytest.raises(ValueError, match="m.keras holds a broken model: its .*vari"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "what", "remedy"),
    [
        ("vgg16.weights.h5", "weights alone", "its workdir$"),
        ("m.H5", "weights alone", "its workdir$"),
        ("state.npz", "the state of a run", "its workdir: .*/run$"),
        ("config.json", "the settings of a run", "its workdir: .*/run$"),
        ("checkpoints/index.json", "list of a run's checkpoints", "workdir: .*/run$"),
        ("m.onnx", "export.py wrote", "its workdir$"),
    ],
)
def test_another_file_is_told_what_it_is_and_what_to_pass(name, what, remedy, tmp_path):
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something")
    with pytest.raises(ValueError, match=f"{path} is .*{what} and no .*{remedy}"):
        load_checkpoint(path)


def test_the_folder_of_checkpoints_is_as_good_as_the_workdir(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    save_model(small_model(), folder / "b.keras", DETAILS)
    with pytest.raises(ValueError, match="no index.json .*one of its files: b.keras"):
        load_checkpoint(folder)
    entry = {"file": "b.keras", "epoch": 1, "monitor": "val_mean_iou", "score": 0.5}
    checkpoints.write_index(folder, [entry])
    assert best_checkpoint(folder) == best_checkpoint(tmp_path / "run")
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "saved_model.pb").touch()
    with pytest.raises(ValueError, match="is a SavedModel, .* and no checkpoint"):
        load_checkpoint(saved)
