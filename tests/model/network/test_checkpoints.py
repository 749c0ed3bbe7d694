import json
import zipfile

import keras
import numpy as np
import pytest

from model.network.checkpoints import (
    BestCheckpoint,
    best_checkpoint,
    keep_best,
    load_checkpoint,
    read_details,
    read_index,
    save_model,
)

DETAILS = {
    "image_size": 16,
    "mask": "ground",
    "class_names": ["ground", "sky", "small_rock", "large_rock"],
}


def small_model(synchronized=False, num_classes=4):
    image = keras.Input([16, 16, 3])
    x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = keras.layers.BatchNormalization(synchronized=synchronized)(x)
    return keras.Model(image, keras.layers.Conv2D(num_classes, 1)(x))


def images(count=2):
    return np.random.default_rng(0).random([count, 16, 16, 3], np.float32)


def run_epochs(workdir, scores, keep=2, start=0, train_end=True):
    callback = BestCheckpoint(workdir, DETAILS, keep=keep)
    callback.set_model(small_model())
    for epoch, score in enumerate(scores, start):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"val_mean_iou": score, "loss": 1.0})
    if train_end:
        callback.on_train_end()
    return callback


def file_names(workdir):
    return sorted(path.name for path in (workdir / "checkpoints").glob("*.keras"))


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


def test_only_improvements_are_written_and_the_best_are_kept(tmp_path):
    callback = run_epochs(tmp_path, [0.2, 0.1, float("nan"), 0.3, 0.3, 0.4])
    assert file_names(tmp_path) == [
        "vgg16_unet-004-0.3000.keras",
        "vgg16_unet-006-0.4000.keras",
    ]
    assert callback.best == 0.4
    assert best_checkpoint(tmp_path).name == "vgg16_unet-006-0.4000.keras"
    details = load_checkpoint(tmp_path)[1]
    assert (details["epoch"], details["score"]) == (6, 0.4)
    assert details["scores"] == {"val_mean_iou": 0.4, "loss": 1.0}


def test_older_files_go_only_after_the_next_epoch_begins(tmp_path):
    callback = run_epochs(tmp_path, [0.1, 0.2, 0.3], train_end=False)
    assert len(file_names(tmp_path)) == 3
    callback.on_epoch_begin(3)
    assert len(file_names(tmp_path)) == 2


def test_what_a_kill_kept_out_of_the_index_is_removed(tmp_path, monkeypatch):
    callback = run_epochs(tmp_path, [0.1, 0.2, 0.3], train_end=False)
    folder = tmp_path / "checkpoints"

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("model.network.checkpoints._remove", kill)
        callback.on_epoch_begin(3)  # Killed after the index is written.
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("model.network.checkpoints._write_index", kill)
        callback.on_epoch_end(3, {"val_mean_iou": 0.4})  # And before it is.
    assert len(file_names(tmp_path)) == 4
    (folder / "vgg16_unet-mine.keras").touch()
    keep_best(folder, 2)
    assert file_names(tmp_path) == [
        "vgg16_unet-002-0.2000.keras",
        "vgg16_unet-003-0.3000.keras",
        "vgg16_unet-mine.keras",
    ]


def test_without_an_index_no_checkpoint_is_removed(tmp_path):
    run_epochs(tmp_path, [0.1])
    (tmp_path / "checkpoints" / "index.json").unlink()
    keep_best(tmp_path / "checkpoints", 1)
    assert file_names(tmp_path) == ["vgg16_unet-001-0.1000.keras"]


def test_a_restart_remembers_the_best_score(tmp_path):
    run_epochs(tmp_path, [0.5])
    run_epochs(tmp_path, [0.4], start=1)
    assert file_names(tmp_path) == ["vgg16_unet-001-0.5000.keras"]


def test_a_repeated_epoch_ends_as_if_it_had_run_once(tmp_path):
    run_epochs(tmp_path, [0.1, 0.2, 0.3], train_end=False)
    # Killed before the state of epoch 3 was saved; this time it scores otherwise.
    run_epochs(tmp_path, [0.25], start=2)
    assert file_names(tmp_path) == [
        "vgg16_unet-002-0.2000.keras",
        "vgg16_unet-003-0.2500.keras",
    ]
    assert [entry["epoch"] for entry in read_index(tmp_path / "checkpoints")] == [3, 2]


def test_an_unknown_monitor_names_the_scores(tmp_path):
    callback = BestCheckpoint(tmp_path, DETAILS, monitor="val_miou")
    callback.set_model(small_model())
    with pytest.raises(ValueError, match="val_miou.*val_mean_iou"):
        callback.on_epoch_end(0, {"val_mean_iou": 0.5})


def test_it_works_in_plain_fit(tmp_path):
    model = small_model()
    model.compile("sgd", "mse", metrics=[keras.metrics.MeanSquaredError("error")])
    callback = BestCheckpoint(tmp_path, DETAILS, monitor="val_error", keep=1)
    data = images(), np.zeros([2, 16, 16, 4], np.float32)
    model.fit(*data, validation_data=data, epochs=1, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(
        load_checkpoint(tmp_path)[0](images()), model(images())
    )


def test_a_workdir_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint in"):
        load_checkpoint(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "index.json").write_text("[]")
    with pytest.raises(ValueError, match="not an index"):
        best_checkpoint(tmp_path)
