import keras
import numpy as np
import pytest

from model.network.checkpoints import best_checkpoint, load_checkpoint, read_index
from model.training.checkpoints import BestCheckpoint, keep_best
from tests.support.small_network import DETAILS, images, small_model


def run_epochs(workdir, scores, keep=2, start=0, train_end=True, run="mine"):
    details = DETAILS | {"run": run}
    callback = BestCheckpoint(workdir, details, monitor="val_mean_iou", keep=keep)
    callback.set_model(small_model())
    for epoch, score in enumerate(scores, start):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"val_mean_iou": score, "loss": 1.0})
    if train_end:
        callback.on_train_end()
    return callback


def file_names(workdir):
    return sorted(path.name for path in (workdir / "checkpoints").glob("*.keras"))


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
        patch.setattr("model.training.checkpoints._remove", kill)
        callback.on_epoch_begin(3)  # Killed after the index is written.
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("model.training.checkpoints.write_index", kill)
        callback.on_epoch_end(3, {"val_mean_iou": 0.4})  # And before it is.
    assert len(file_names(tmp_path)) == 4
    (folder / "vgg16_unet-mine.keras").touch()
    keep_best(folder, 2, "mine")
    assert file_names(tmp_path) == [
        "vgg16_unet-002-0.2000.keras",
        "vgg16_unet-003-0.3000.keras",
        "vgg16_unet-mine.keras",
    ]


def test_without_an_index_no_checkpoint_is_removed(tmp_path):
    run_epochs(tmp_path, [0.1])
    (tmp_path / "checkpoints" / "index.json").unlink()
    keep_best(tmp_path / "checkpoints", 1, "mine")
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


def test_the_files_of_another_run_stay_and_do_not_count(tmp_path):
    run_epochs(tmp_path, [0.5, 0.6, 0.9], run="another")
    others = file_names(tmp_path)
    run_epochs(tmp_path, [0.1, 0.2, 0.3])  # A new run, its state was removed.
    own = ["vgg16_unet-002-0.2000.keras", "vgg16_unet-003-0.3000.keras"]
    assert file_names(tmp_path) == sorted(own + others)
    assert best_checkpoint(tmp_path).name == own[1]
    # Both at once, where locking failed: the index may name the other's files.
    run_epochs(tmp_path, [0.95], start=3, run="third")
    run_epochs(tmp_path, [0.4], start=4)
    assert {*others, "vgg16_unet-004-0.9500.keras"} <= set(file_names(tmp_path))
    assert best_checkpoint(tmp_path).name == "vgg16_unet-005-0.4000.keras"


def test_a_file_of_an_earlier_version_stays_in_the_index(tmp_path):
    run_epochs(tmp_path, [0.5])
    (tmp_path / "checkpoints" / file_names(tmp_path)[0]).write_bytes(b"of no run")
    run_epochs(tmp_path, [0.6], start=1)
    assert [entry["epoch"] for entry in read_index(tmp_path / "checkpoints")] == [2, 1]


def test_an_unknown_monitor_names_the_scores(tmp_path):
    callback = BestCheckpoint(tmp_path, DETAILS, monitor="val_miou", keep=1)
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
